"""The folder that Apple's Swift package, and the apps built on it, read: networks and vocabulary under Swift's names.

Only macOS compiles packages. There, each becomes a ``.mlmodelc``; elsewhere they are copied as they are (hard links would save their bytes,
and let whoever edits one file change two), and `how_to_compile` says what is left to do.
"""

import logging
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from converter.storing import move_into_place, workplace
from sdrt.errors import BackendError, MissingFileError
from sdrt.models.coreml.names import CONTROLNET_PREFIX, CONTROLNET_RESOURCES, RESOURCES, controlnet_resource, file_stem

__all__ = ["Compiler", "bundle", "compile_by_xcode", "how_to_compile"]

Compiler: TypeAlias = Callable[[Path, Path], Path]
"""Compiles a package into a folder; the compiled model's path."""

_TOKENIZER = ("vocab.json", "merges.txt")
_SETTINGS = ("scheduler_config.json", "sdrt.json")
_FORMS = (".mlpackage", ".mlmodelc")

_log = logging.getLogger(__name__)


def bundle(folder: Path, name: str, *, compiler: Compiler | None = None) -> Path:
    """Make ``folder/Resources`` of the packages of one model, and of every ControlNet, in ``folder``.

    Parameters
    ----------
    folder : Path
        Where a conversion was written to.
    name : str
        The model's name, as its packages have it.
    compiler : Compiler or None
        None compiles by Xcode on macOS, and copies elsewhere.

    Returns
    -------
    ``folder/Resources``
        A network that was there already is replaced, whole, and goes if it is now another one's part: a whole U-Net where there are halves,
        a package where there is a compiled model. What else is in it stays.

    Raises
    ------
    MissingFileError : there is no package of this model, or a text encoder without its vocabulary
    BackendError : the compiler fails
    """
    if compiler is None and sys.platform == "darwin":
        compiler = compile_by_xcode
    packages = _resources(folder, name)
    if not packages:
        raise MissingFileError(
            f"{folder}: has no package of {name!r} to bundle ({file_stem('unet', name)}.mlpackage, say); convert it first"
        )
    tokenizer = [file for file in _TOKENIZER if (folder / file).exists()]
    if "TextEncoder" in packages and len(tokenizer) < len(_TOKENIZER):
        missing = ", ".join(file for file in _TOKENIZER if file not in tokenizer)
        raise MissingFileError(
            f"{folder}: the text encoder needs {missing} beside it; convert the text encoder again, or copy the model's own"
        )
    resources = folder / "Resources"
    with workplace(folder) as shop:
        for stem, package in packages.items():
            made = shop / f"made{'.mlmodelc' if compiler else '.mlpackage'}"
            if compiler is None:
                shutil.copytree(package, made)
            else:
                compiler(package, shop).rename(made)
            target = resources / f"{stem}{made.suffix}"
            target.parent.mkdir(parents=True, exist_ok=True)
            move_into_place(made, target)
            _remove_others(resources, stem, made.suffix)
        for file in (*tokenizer, *(file for file in _SETTINGS if (folder / file).exists())):
            shutil.copyfile(folder / file, shop / file)
            (shop / file).replace(resources / file)
    if compiler is None:
        _log.info(how_to_compile(resources))
    return resources


def how_to_compile(resources: Path) -> str:
    """What to type on a Mac to compile the packages of a Resources folder that was made elsewhere, in one line."""
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
        Where the compiled model is written, under the package's stem.
    run : subprocess.run, or what stands for it

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
        raise BackendError(f"xcrun cannot be started ({error}); install Xcode, and choose it with xcode-select") from error
    if done.returncode != 0:
        raise BackendError(f"{shlex.join(command)} failed ({done.returncode}): {(done.stderr or done.stdout).strip() or 'it says nothing'}")
    made = folder / f"{package.stem}.mlmodelc"
    if not made.is_dir():
        raise BackendError(f"{shlex.join(command)} ended well and made no {made.name}; it says: {done.stdout.strip() or 'nothing'}")
    return made


def _resources(folder: Path, name: str) -> dict[str, Path]:
    """Packages by their stems in Resources: of a network in several forms, the one that was asked for last in the making."""
    found: dict[str, Path] = {}
    for role, (stem, *_) in RESOURCES.items():
        file = file_stem(role, name)
        halves = [folder / f"{file}_chunk{number}.mlpackage" for number in (1, 2)]
        if all(half.is_dir() for half in halves):
            # Swift's package reads the halves where it finds them, and never the whole then
            found |= {f"{stem}Chunk{number}": half for number, half in enumerate(halves, 1)}
            continue
        for form in (f"{file}_chunked_pipeline", file):
            if (folder / f"{form}.mlpackage").is_dir():
                found[stem] = folder / f"{form}.mlpackage"
                break
    for package in sorted(folder.glob(f"{CONTROLNET_PREFIX}*.mlpackage")):
        stem = controlnet_resource(package.stem.removeprefix(CONTROLNET_PREFIX))
        found[f"{CONTROLNET_RESOURCES}/{stem}"] = package
    return found


def _remove_others(resources: Path, stem: str, suffix: str) -> None:
    """What stood for the same network in another form."""
    whole = stem.removesuffix("Chunk1").removesuffix("Chunk2")
    others = [f"{stem}{form}" for form in _FORMS if form != suffix]
    others += [f"{other}{form}" for other in ([whole] if whole != stem else [f"{stem}Chunk1", f"{stem}Chunk2"]) for form in _FORMS]
    for other in others:
        if (resources / other).is_dir():
            shutil.rmtree(resources / other)
