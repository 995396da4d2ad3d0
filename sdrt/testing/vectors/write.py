"""`write_vectors`: everything that a port can be held against, in one folder."""

import hashlib
from pathlib import Path

from sdrt._version import __version__
from sdrt.files import user_path
from sdrt.images.files import make_folder
from sdrt.testing.vectors.files import write_arrays, write_json
from sdrt.testing.vectors.networks import networks, whole_run, write_narrow_model
from sdrt.testing.vectors.samplers import guidance, schedules, steps
from sdrt.testing.vectors.texts_and_noise import noise, tokens

__all__ = ["write_vectors"]

# Of this layout: a reader looks at it first.
_FORMAT = 1


def write_vectors(folder: str | Path) -> Path:
    """Write reference vectors for a port in another language: plain JSON and safetensors, some 3 MB.

    Tokens, noise of every stream, schedules and steps of every sampler, guidance, the inputs and outputs of every network of a narrow model
    whose weights are there too, and a whole run. ``README.md`` in the folder says what each file holds, in which shapes, and how near a
    port should come. The same version of sdrt writes the same bytes on the same machine; elsewhere the last bits of floats may differ.

    Parameters
    ----------
    folder : path
        Made if it is not there; files of these names are written anew.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    ConfigError : not a path
    ImageError : the folder cannot be made
    """
    path = user_path("folder", folder)
    make_folder(path)
    write_json(path / "tokens.json", tokens())
    write_json(path / "schedules.json", schedules())
    for name, (rows, arrays) in (("noise", noise()), ("steps", steps()), ("guidance", guidance())):
        write_json(path / f"{name}.json", rows)
        write_arrays(path / f"{name}.safetensors", arrays)
    write_narrow_model(path / "model")
    calls, arrays = networks(path / "model")
    write_json(path / "networks.json", calls)
    write_arrays(path / "networks.safetensors", arrays)
    about, arrays = whole_run(path / "model")
    write_json(path / "run.json", about)
    write_arrays(path / "run.safetensors", arrays)
    (path / "README.md").write_bytes(Path(__file__).with_name("README.md").read_bytes())
    files = sorted(file for file in path.rglob("*") if file.is_file() and file.name != "index.json")
    digests = {file.relative_to(path).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}
    write_json(path / "index.json", {"format": _FORMAT, "sdrt": __version__, "files": digests})
    return path
