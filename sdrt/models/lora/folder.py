"""Find a LoRA by its name in a folder, and in the folders below it."""

import difflib
import os
from pathlib import Path

from sdrt.errors import ConfigError, MissingFileError
from sdrt.files import is_folder
from sdrt.printable import shown

__all__ = ["find_lora"]

_ENDING = ".safetensors"
_NEAR = 3


def find_lora(folder: Path, name: str) -> Path:
    """Return the file of a LoRA.

    Parameters
    ----------
    folder : Path
    name : str
        The file's name, or its path below the folder, with slashes; both with or without their ending.

    Raises
    ------
    MissingFileError : no such file, or no such folder; the message lists names that are near
    ConfigError : several files have the name
    """
    if not is_folder(folder):
        raise MissingFileError(f"{folder}: no such folder; pass the folder that holds LoRA files as lora_dir")
    files = _files(folder)
    wanted = name.removesuffix(_ENDING)
    # a whole path says more than a name
    found = [file for path, file in files.items() if path == wanted] or [file for file in files.values() if file.stem == wanted]
    if len(found) > 1:
        paths = ", ".join(path for path, file in files.items() if file in found)
        raise ConfigError(f"{folder}: must hold one LoRA of the name {shown(name)}, got {paths}; write the whole path below the folder")
    if not found:
        stems = sorted({file.stem for file in files.values()})
        near = difflib.get_close_matches(wanted, stems, _NEAR, 0.5) or stems[:_NEAR]
        hint = f"near are {', '.join(map(shown, near))}" if near else f"it holds no {_ENDING} file"
        raise MissingFileError(f"{folder}: no LoRA of the name {shown(name)} in it; {hint}")
    return found[0]


def _files(folder: Path) -> dict[str, Path]:
    """Return the LoRA files below a folder by their path in it, without ending."""
    files = {}
    for parent, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            if name.endswith(_ENDING):
                file = Path(parent, name)
                files[file.relative_to(folder).with_suffix("").as_posix()] = file
    return files
