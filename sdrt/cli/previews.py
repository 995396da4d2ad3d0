"""Previews of ``sdrt generate``: beside each picture that will be written, a file that shows the run so far."""

import argparse
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self, get_args

from sdrt.cli import signals
from sdrt.cli.options import fold
from sdrt.cli.output import Output
from sdrt.errors import ConfigError
from sdrt.printable import shown

if TYPE_CHECKING:
    from sdrt.pipeline.pipeline import Pipeline
    from sdrt.pipeline.previews import PreviewKind
    from sdrt.pipeline.step import Step
    from sdrt.pipeline.steps import Steps

__all__ = ["Previews", "add_previews"]


def add_previews(command: argparse.ArgumentParser) -> None:
    """Add ``--preview-every`` and ``--preview-kind`` to a command that has an `Output`."""
    command.add_argument(
        "--preview-every",
        type=int,
        metavar="N",
        help="every N steps, write what the run has so far beside each picture, as NAME.preview.png; each replaces the one before",
    )
    command.add_argument(
        "--preview-kind",
        metavar="{latent,taesd,vae}",
        help="a map of the latents to colours, the quick decoder of --preview-vae, or the model's own (default: the first of these "
        "that the model has)",
    )


@dataclass(frozen=True, kw_only=True)
class Previews:
    """What ``--preview-every`` asks for.

    Parameters
    ----------
    every : int
        Steps between two previews; the last step has none, as the picture follows.
    kind : PreviewKind or None
        None: the cheapest that the pipeline has.
    """

    every: int
    kind: "PreviewKind | None"

    @classmethod
    def parse(cls, arguments: argparse.Namespace) -> Self | None:
        """Return what the arguments ask for; None where they ask for no previews.

        Raises
        ------
        ConfigError : fewer than one step, an unknown kind, or a kind of no previews
        """
        every, kind = arguments.preview_every, arguments.preview_kind
        if every is None:
            if kind is not None:
                raise ConfigError(f"--preview-kind is for previews, got {shown(kind)} without --preview-every; pass that too")
            return None
        if every < 1:
            raise ConfigError(f"--preview-every must be a number of steps of at least 1, got {every}; leave it out for no previews")
        if kind is None:
            return cls(every=every, kind=None)
        from sdrt.pipeline.previews import PreviewKind

        kinds = get_args(PreviewKind)
        if (chosen := fold(kind, kinds)) not in kinds:
            raise ConfigError(f"--preview-kind must be {' or '.join(map(repr, kinds))}, got {shown(kind)}; choose one of those")
        return cls(every=every, kind=chosen)  # type: ignore[arg-type]

    def kind_for(self, pipe: "Pipeline") -> "PreviewKind":
        """Return the kind that a pipeline draws, before anything runs.

        Raises
        ------
        ConfigError : it does not have the kind that was asked for
        """
        from sdrt.pipeline.previews import check_kind

        if self.kind is None:
            return pipe.preview_kinds[0]
        check_kind(self.kind, pipe.preview_kinds, "--preview-kind")
        return self.kind

    def writing(self, pipe: "Pipeline", steps: "Steps", output: Output) -> "Callable[[Step], None]":
        """Return what writes the previews of a call's steps.

        Raises
        ------
        ConfigError : as `kind_for`
        """
        kind, files = self.kind_for(pipe), _files(output, steps)

        def write(step: "Step") -> None:
            from sdrt.images import save_picture

            done = step.index + 1
            if done % self.every or done == step.num_steps:
                return
            pictures = step.decode(kind=kind)
            # without a record, since that of the call draws its last step
            with signals.deferred():
                for picture, file in zip(pictures, files, strict=True):
                    save_picture(picture, file, {})

        return write


def _files(output: Output, steps: "Steps") -> Sequence[Path]:
    """Return the file of each image's preview: the name that its picture has where no other has that name, with ``.preview`` in it.

    Images with one prompt and one seed are numbered, as their pictures are.
    """
    return [file.with_name(f"{file.stem}.preview.png") for file in _told_apart(output.files(steps.settings, steps.seeds))]


def _told_apart(files: Sequence[Path]) -> Iterator[Path]:
    seen: Counter[Path] = Counter()
    for file in files:
        seen[file] += 1
        yield file if seen[file] == 1 else file.with_stem(f"{file.stem}-{seen[file]}")
