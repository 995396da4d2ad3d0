"""What a file of weights is by its first bytes, whatever its name says."""

from pathlib import Path
from typing import Literal, TypeAlias

from sdrt.errors import WeightsError
from sdrt.files import open_file
from sdrt.models.pickled import PICKLE_SUFFIXES

__all__ = ["HEADER_LIMIT", "WEIGHT_SUFFIXES", "WeightFormat", "weight_format"]

WeightFormat: TypeAlias = Literal["safetensors", "pickle"]

# Names that end so are files of weights, there or not: never repositories.
WEIGHT_SUFFIXES = (".safetensors", *PICKLE_SUFFIXES, ".gguf")

HEADER_LIMIT = 100_000_000  # bytes: safetensors' own

# How other files begin, what they are, and what to do.
_OTHERS = {
    b"GGUF": "a GGUF file, whose quantised weights are for other programs; fetch the model as safetensors",
    b"<": "a web page or XML, not weights; the download went wrong, fetch the file itself",
    b"{": "JSON, not weights; pass the weights beside it, or fetch them",
    b"\x89HDF": "an HDF5 file of Keras; fetch the model as safetensors",
    b"\x1f\x8b": "packed with gzip; unpack it first",
    b"7z\xbc\xaf": "packed with 7-Zip; unpack it first",
    b"Rar!": "packed with RAR; unpack it first",
}


def weight_format(file: Path) -> WeightFormat:
    """Find out how a file is to be read; of one that begins like neither format, its name decides.

    Raises
    ------
    MissingFileError : it is not there
    WeightsError : it is something else, which the message names; or a pickle that goes by the name of safetensors
    """
    with open_file(file, WeightsError) as stream:
        begin = stream.read(16)
    named: WeightFormat = "pickle" if file.suffix.lower() in PICKLE_SUFFIXES else "safetensors"
    if len(begin) > 8 and begin[8:9] == b"{" and int.from_bytes(begin[:8], "little") <= HEADER_LIMIT:
        return "safetensors"
    if begin.startswith(b"PK") and _is_archive(file):
        raise WeightsError(f"{file}: a zip archive, not weights; unpack it, and pass what is inside")
    # what torch writes: a zip archive with a pickle inside, or before 1.6 a pickle
    if begin.startswith((b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")):
        if named == "safetensors":
            raise WeightsError(
                f"{file}: a pickle by its first bytes, which can run code, under the name of safetensors; convert it, or where you trust "
                "it, rename it to .ckpt and pass pickled='weights_only'"
            )
        return "pickle"
    for magic, words in _OTHERS.items():
        if begin.lstrip().startswith(magic):
            raise WeightsError(f"{file}: {words}")
    return named


def _is_archive(file: Path) -> bool:
    """Return whether a zip file holds something else than what torch writes."""
    import zipfile

    try:
        with zipfile.ZipFile(file) as archive:
            return not any(name.endswith("data.pkl") for name in archive.namelist())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        # cut short: its reader says so
        return False
