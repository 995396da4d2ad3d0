"""Say what a path is that is no model, and what to pass in its place: a folder too high or too deep, an archive, a file of another kind."""

from pathlib import Path

from sdrt.errors import ModelError
from sdrt.files import entries, exists, is_file, is_folder
from sdrt.models.coreml.layout import is_package
from sdrt.models.coreml.names import PREFIX, SUFFIXES
from sdrt.models.pickled import PICKLE_SUFFIXES

__all__ = ["check_is_model_folder", "check_is_no_archive"]

_CHECKPOINTS = (".safetensors", *PICKLE_SUFFIXES)

# Files of other kinds, by their ending.
_OTHER_FILES = {
    ".gguf": "is a GGUF file, whose quantised weights are for other programs; fetch the model as safetensors",
    ".zip": "is an archive; unpack it, and pass the folder",
    ".tar": "is an archive; unpack it, and pass the folder",
    ".gz": "is an archive; unpack it, and pass the folder",
    ".7z": "is an archive; unpack it, and pass the folder",
    ".onnx": "is an ONNX model, which sdrt does not run; fetch the model as safetensors",
    ".h5": "is a file of Keras; fetch the model as safetensors",
    ".msgpack": "is a file of Flax; fetch the model as safetensors",
    ".mlmodel": "is one Core ML model, and Stable Diffusion has several; pass the folder that holds its packages",
    ".json": "is a configuration; pass the model's folder",
    ".yaml": "is a configuration; pass the checkpoint, or the model's folder",
}


def check_is_no_archive(place: Path) -> None:
    """Raise if a file is of a kind that holds no weights for sdrt.

    Raises
    ------
    ModelError : the message says what it is
    """
    if is_file(place) and (words := _OTHER_FILES.get(place.suffix.lower())):
        raise ModelError(f"{place}: {words}")


def check_is_model_folder(folder: Path) -> None:
    """Raise if a folder has no U-Net and it is plain what it has in its place.

    Raises
    ------
    ModelError : the message says what there is, and what to pass
    """
    # a folder with an index says itself what it is of
    if not is_folder(folder) or is_folder(folder / "unet") or exists(folder / "model_index.json"):
        return
    inside = [entry for entry in entries(folder) if not entry.name.startswith((".", "__MACOSX"))]
    if models := [entry for entry in inside if is_folder(entry) and _is_model(entry)]:
        raise ModelError(f"{folder}: is no model, and holds {_some(models)}; pass {models[0]}")
    if packages := [entry for entry in inside if is_package(entry)]:
        endings = ", ".join(SUFFIXES.values())
        raise ModelError(
            f"{folder}: the names of its Core ML packages ({_some(packages)}) do not say what they are; "
            f"call them {PREFIX}NAME_PART.mlpackage, each PART being one of {endings}"
        )
    if exists(folder / "config.json"):
        raise ModelError(
            f"{folder}: is one component by its config.json, not a model; pass the model, or this as vae, controlnet or t2i_adapter"
        )
    if checkpoints := [entry for entry in inside if entry.suffix.lower() in _CHECKPOINTS]:
        raise ModelError(f"{folder}: is no model folder, and holds the checkpoint {_some(checkpoints)}; pass {checkpoints[0]}")
    for entry in inside:
        if entry.suffix.lower() != ".json":
            check_is_no_archive(entry)


def _is_model(folder: Path) -> bool:
    return exists(folder / "model_index.json") or is_folder(folder / "unet")


def _some(paths: list[Path]) -> str:
    names = [path.name for path in paths[:3]]
    return ", ".join(names) + (f" and {len(paths) - 3} more" if len(paths) > 3 else "")
