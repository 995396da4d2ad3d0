"""Textual inversion: vectors that a text encoder learnt for a new token, from a safetensors file.

Source: the layouts are those that diffusers 0.42.1 writes (``examples/textual_inversion``: one tensor under its token) and
AUTOMATIC1111/stable-diffusion-webui 1.10.1 reads (``modules/textual_inversion/textual_inversion.py``: ``emb_params``, the token is the
file's name).
"""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from sdrt.arrays import Float, check_finite
from sdrt.errors import ConfigError, MissingFileError, WeightsError
from sdrt.files import exists, is_folder, user_path
from sdrt.models.component_tensors import ComponentTensors
from sdrt.models.leftovers import few_of
from sdrt.models.weight_format import weight_format
from sdrt.printable import shown
from sdrt.values import FilePath, Text

__all__ = ["Embedding", "read_embedding"]

_A1111_KEY = "emb_params"
_TOKEN = Text(length=1_000)


@dataclass(frozen=True, eq=False)
class Embedding:
    """A token and its vectors.

    Parameters
    ----------
    token : str
        What stands for them in a prompt.
    vectors : float[n,D], n >= 1
    file : Path
    """

    token: str
    vectors: Float
    file: Path

    def __post_init__(self) -> None:
        object.__setattr__(self, "token", _TOKEN.check("an embedding's token", self.token))
        object.__setattr__(self, "file", FilePath().check("an embedding's file", self.file))
        vectors = self.vectors
        if not (isinstance(vectors, np.ndarray) and vectors.dtype.kind == "f" and vectors.ndim == 2 and vectors.size):
            got = f"{vectors.dtype}{list(vectors.shape)}" if isinstance(vectors, np.ndarray) else type(vectors).__name__
            raise ConfigError(f"an embedding's vectors must be float[n,D], got {got}; pass one row for each vector")
        check_finite(f"the embedding {self.token}", "vectors", vectors)

    @cached_property
    def sha256(self) -> str:
        """Of the file, as hexadecimal digits."""
        return hashlib.sha256(self.file.read_bytes()).hexdigest()


def read_embedding(file: str | Path, token: str | None = None) -> Embedding:
    """Read a file of textual inversion.

    Parameters
    ----------
    file : path
        A safetensors file with one tensor, [D] or [n,D].
    token : str or None
        None: the tensor's name, or the file's name without its ending where the tensor is called ``emb_params``.

    Raises
    ------
    MissingFileError : it is not there
    WeightsError : it is a pickle, no safetensors file, or holds no such tensor
    ConfigError : the token is empty
    """
    file = user_path("an embedding", file)
    if not exists(file):
        raise MissingFileError(f"{file}: no such file; an embedding is a safetensors file")
    if is_folder(file):
        raise WeightsError(f"{file}: an embedding must be a safetensors file, got a folder; pass a file in it")
    if weight_format(file) == "pickle":
        raise WeightsError(f"{file}: would have to be unpickled, which can run code: convert it to safetensors first")
    weights = ComponentTensors([file])
    if len(weights) != 1:
        names = few_of(list(weights)) if len(weights) else "none"
        xl = " (clip_l and clip_g are Stable Diffusion XL's)" if {"clip_l", "clip_g"} & set(weights) else ""
        raise WeightsError(f"{file}: an embedding must be one tensor, under its token or {_A1111_KEY}, got {names}{xl}; take another file")
    [name] = weights
    shape = weights[name].shape
    vectors = weights.take(name, shape)
    if vectors.ndim not in (1, 2) or not vectors.size:
        raise WeightsError(f"{weights.where(name)} must be a vector, or some rows of them, got shape {list(shape)}; take another file")
    if token is None:
        token = file.stem if name == _A1111_KEY else name
    token = _TOKEN.check(f"{file}: an embedding's token", token, "pass another one")
    if not token.strip():
        raise ConfigError(f"{file}: an embedding's token must be text, got {shown(token)}; pass another one")
    # a copy: a few numbers need no file that stays open
    return Embedding(token, np.array(vectors, ndmin=2), file)
