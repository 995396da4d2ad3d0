"""Make the folder that Apple's Swift package, and apps built on it, read: networks and vocabulary under Swift's names.

Packages can only be compiled on macOS, where each becomes a ``.mlmodelc``; elsewhere they are copied (hard links would save disk space, but
an edit of one file would change two), and `how_to_compile` describes the remaining step.
"""

import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from converter.workplace import move_into_place, workplace
from sdrt.errors import BackendError, MissingFileError
from sdrt.log import log
from sdrt.models.coreml.names import CONTROLNET_PREFIX, CONTROLNET_RESOURCES, RESOURCES, controlnet_resource, file_stem

__all__ = ["Compiler", "bundle", "compile_by_xcode", "how_to_compile"]

Compiler: TypeAlias = Callable[[Path, Path], Path]
"""Compile a package into a folder, and return the compiled model's path."""

_TOKENIZER = ("vocab.json", "merges.txt")
_SETTINGS = ("scheduler_config.json", "sdrt.json")
_FORMS = (".mlpackage", ".mlmodelc")

_log = log.getChild("converter")


def bundle(folder: Path, name: str, *, compiler: Compiler | None = None) -> Path:
    """Make ``folder/Resources`` from the packages of one model, and of every ControlNet, in ``folder``.

    Parameters
    ----------
    folder : Path
        The output folder of a conversion.
    name : str
        The model's name, as in its packages' file names.
    compiler : Compiler or None
        None compiles with Xcode on macOS, and copies elsewhere.

    Returns
    -------
    ``folder/Resources``
        A network already there is replaced as a whole; forms of it that the new one supersedes are removed: a whole U-Net beside halves, a
        package beside a compiled model. Other files stay.

    Raises
    ------
    MissingFileError : no package of this model, or a text encoder without its vocabulary
    BackendError : the compiler fails
    """
    if compiler is None and sys.platform == "darwin":
        compiler = compile_by_xcode
    packages = _resources(folder, name)
    if not packages:
        raise MissingFileError(
            f"{folder}: must hold a package of {name!r} to bundle (such as {file_stem('unet', name)}.mlpackage), got none; convert it first"
        )
    tokenizer = [file for file in _TOKENIZER if (folder / file).exists()]
    if "TextEncoder" in packages and len(tokenizer) < len(_TOKENIZER):
        missing = ", ".join(file for file in _TOKENIZER if file not in tokenizer)
        raise MissingFileError(
            f"{folder}: a text encoder must have its vocabulary beside it, got no {missing}; convert it again, or copy the model's"
        )
    resources = folder / "Resources"
    with workplace(folder) as work:
        for stem, package in packages.items():
            built = work / f"built{'.mlmodelc' if compiler else '.mlpackage'}"
            if compiler is None:
                shutil.copytree(package, built)
            else:
                compiler(package, work).rename(built)
            target = resources / f"{stem}{built.suffix}"
            target.parent.mkdir(parents=True, exist_ok=True)
            move_into_place(built, target)
            _remove_others(resources, stem, built.suffix)
        for file in (*tokenizer, *(file for file in _SETTINGS if (folder / file).exists())):
            shutil.copyfile(folder / file, work / file)
            (work / file).replace(resources / file)
    if compiler is None:
        _log.info(how_to_compile(resources))
    return resources


def how_to_compile(resources: Path) -> str:
    """Return a one-line command that compiles, on a Mac, the packages of a Resources folder built elsewhere."""
    each = 'xcrun coremlcompiler compile "$1" "$(dirname "$1")" && rm -r "$1"'
    return (
        f"These packages are not compiled, which needs a Mac with Xcode; there: "
        f"find {shlex.quote(str(resources))} -name '*.mlpackage' -prune -exec sh -c '{each}' sh {{}} \\;"
    )


def compile_by_xcode(package: Path, folder: Path, run: Callable[..., "subprocess.CompletedProcess[str]"] = subprocess.run) -> Path:
    """Compile a package with Xcode's compiler.

    Parameters
    ----------
    package : path of a .mlpackage
    folder : Path
        The folder for the compiled model, which takes the package's stem.
    run : subprocess.run, or a substitute

    Returns
    -------
    The path of the .mlmodelc folder

    Raises
    ------
    BackendError : the compiler is missing, fails, or writes nothing
    """
    command = ["xcrun", "coremlcompiler", "compile", str(package), str(folder)]
    try:
        done = run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise BackendError(f"compiling needs xcrun, got {error}; install Xcode, and choose it with xcode-select") from error
    if done.returncode != 0:
        raise BackendError(f"{shlex.join(command)} failed ({done.returncode}): {(done.stderr or done.stdout).strip() or 'no message'}")
    built = folder / f"{package.stem}.mlmodelc"
    if not built.is_dir():
        raise BackendError(f"{shlex.join(command)} succeeded without making {built.name}; it printed: {done.stdout.strip() or 'nothing'}")
    return built


def _resources(folder: Path, name: str) -> dict[str, Path]:
    """Return packages by their stems in Resources; of a network in several forms, the latest form that a conversion makes."""
    packages: dict[str, Path] = {}
    for role, (stem, *_) in RESOURCES.items():
        file = file_stem(role, name)
        halves = [folder / f"{file}_chunk{number}.mlpackage" for number in (1, 2)]
        if all(half.is_dir() for half in halves):
            # Swift's package uses the halves where it finds them, and never the whole network then.
            packages |= {f"{stem}Chunk{number}": half for number, half in enumerate(halves, 1)}
            continue
        for form in (f"{file}_chunked_pipeline", file):
            if (folder / f"{form}.mlpackage").is_dir():
                packages[stem] = folder / f"{form}.mlpackage"
                break
    for package in sorted(folder.glob(f"{CONTROLNET_PREFIX}*.mlpackage")):
        stem = controlnet_resource(package.stem.removeprefix(CONTROLNET_PREFIX))
        packages[f"{CONTROLNET_RESOURCES}/{stem}"] = package
    return packages


def _remove_others(resources: Path, stem: str, suffix: str) -> None:
    """Remove other forms of the same network."""
    whole = stem.removesuffix("Chunk1").removesuffix("Chunk2")
    others = [f"{stem}{form}" for form in _FORMS if form != suffix]
    others += [f"{other}{form}" for other in ([whole] if whole != stem else [f"{stem}Chunk1", f"{stem}Chunk2"]) for form in _FORMS]
    for other in others:
        if (resources / other).is_dir():
            shutil.rmtree(resources / other)
