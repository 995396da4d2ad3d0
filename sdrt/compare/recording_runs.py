"""``sdrt.compare.record``: every run of a pipeline, in one file."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from sdrt.compare.header import machine, writer
from sdrt.compare.recorder import Session
from sdrt.pipeline.pipeline import Pipeline
from sdrt.pipeline.recorded import describe_pipeline
from sdrt.recordings import Keep, RecordingWriter
from sdrt.values import Instance

__all__ = ["record"]


@contextmanager
def record(path: str | Path, pipe: Pipeline, *, keep: Keep = "all") -> Iterator[Pipeline]:
    """Write every call that is made in this context into one file: network calls, steps, noise, tokens, settings, pictures.

    Each event is written when it happens, so that memory stays that of one network call. The file has a name that ends in ``.part`` until
    the context ends, and replaces one of its own name then. Calls may come from several threads; each is a run of its own, and one that
    fails or is cancelled is recorded as such.

    Parameters
    ----------
    path : path
    pipe : Pipeline
    keep : "all", "outputs" or "hashes"
        Which arrays to keep: all of them; all but the inputs of networks; or none. Of the others the SHA-256 is in the file.

    Raises
    ------
    RecordingError : the file cannot be written
    ConfigError : the pipeline's calls are watched already

    >>> import sdrt, tempfile
    >>> from pathlib import Path
    >>> pipe = sdrt.load("nano")
    >>> with tempfile.TemporaryDirectory() as folder, record(Path(folder) / "run.sdrt", pipe):
    ...     pipe.generate("a red circle", seed=93, num_inference_steps=2).seeds
    (93,)
    """
    pipe = Instance(Pipeline).check("pipe", pipe, "pass a pipeline of sdrt.load")
    about, files = describe_pipeline(pipe)
    session = Session(RecordingWriter(path, {"writer": writer(), "machine": machine(), **about}, keep=keep, files=files))
    with ExitStack() as stack:
        try:
            stack.enter_context(pipe.observing(session.recorder))
        except BaseException:
            session.writer.discard()
            raise
        try:
            yield pipe
        except BaseException as error:
            session.close(error)
            raise
        session.close(None)
