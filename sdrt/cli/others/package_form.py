"""Which form of Core ML packages is taken where a folder holds both: ``.mlpackage``, or ``.mlmodelc`` as Xcode compiles it."""

from pathlib import Path

from sdrt.errors import ConfigError, MissingFileError
from sdrt.files import entries, is_folder

__all__ = ["FORMS", "folder_of_form"]

# Apple's words for them.
FORMS = {"packages": ".mlpackage", "compiled": ".mlmodelc"}


def folder_of_form(folder: Path, form: str | None) -> Path:
    """Return the folder that holds packages of a form: this one, or the one of those at most two below it.

    Parameters
    ----------
    folder : Path
    form : "packages", "compiled" or None
        None: whatever it holds.

    Raises
    ------
    MissingFileError : none holds such packages
    ConfigError : several do, or compiled packages lie beside uncompiled ones, which would be taken
    """
    if form is None or not is_folder(folder):
        return folder
    if _holds(folder, form):
        if form == "compiled" and _holds(folder, "packages"):
            raise ConfigError(
                f"{folder}: holds .mlpackage and .mlmodelc side by side, of which sdrt takes the first; move the others into their "
                "own folder"
            )
        return folder
    below = [each for each in _below(folder) if _holds(each, form)]
    if not below:
        raise MissingFileError(
            f"{folder}: holds no {FORMS[form]}, which --model-sources {form} asks for; leave it out, or pass another folder"
        )
    if len(below) > 1:
        raise ConfigError(f"{folder}: several folders hold {FORMS[form]}; pass one of {', '.join(map(str, below))}")
    return below[0]


def _holds(folder: Path, form: str) -> bool:
    return any(entry.suffix == FORMS[form] for entry in entries(folder))


def _below(folder: Path) -> list[Path]:
    inner = _folders(folder)
    return [*inner, *(each for one in inner for each in _folders(one))]


def _folders(folder: Path) -> list[Path]:
    """Return the folders in a folder; a package is none, and neither is the one of ControlNets, which belongs to the one around it."""
    return [entry for entry in entries(folder) if is_folder(entry) and entry.suffix not in FORMS.values() and entry.name != "controlnet"]
