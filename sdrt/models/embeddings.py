"""Textual inversion: vectors that a text encoder learnt for a new token, from a safetensors file.

Stable Diffusion XL has two text encoders, and an embedding has vectors for each: in one file as ``clip_l`` and ``clip_g``, or in two files
with one token.

Source: the layouts are those that diffusers 0.42.1 writes (``examples/textual_inversion``: one tensor under its token;
``textual_inversion_sdxl.py``: a file for each text encoder) and AUTOMATIC1111/stable-diffusion-webui 1.10.1 reads
(``modules/textual_inversion/textual_inversion.py``: ``emb_params``, or ``clip_l`` and ``clip_g``; the token is the file's name).
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
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

__all__ = ["Embedding", "paired", "read_embedding"]

_A1111_KEY = "emb_params"
_XL_KEYS = ("clip_l", "clip_g")
_TOKEN = Text(length=1_000)


@dataclass(frozen=True, eq=False)
class Embedding:
    """A token and its vectors.

    Parameters
    ----------
    token : str
        What stands for them in a prompt.
    vectors : float[n,D], n >= 1
        For the first text encoder.
    file : Path
    vectors_2 : float[n,D], or None
        For the second text encoder of Stable Diffusion XL.
    file_2 : Path or None
        Where those come from, if from another file.
    """

    token: str
    vectors: Float
    file: Path
    vectors_2: Float | None = None
    file_2: Path | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "token", _TOKEN.check("an embedding's token", self.token))
        object.__setattr__(self, "file", FilePath().check("an embedding's file", self.file))
        if self.file_2 is not None:
            object.__setattr__(self, "file_2", FilePath().check("an embedding's second file", self.file_2))
        _check_vectors(self.token, "vectors", self.vectors)
        if self.vectors_2 is not None:
            _check_vectors(self.token, "vectors_2", self.vectors_2)
            if len(self.vectors_2) != len(self.vectors):
                raise ConfigError(
                    f"the embedding {self.token} must have as many vectors for both text encoders, got {len(self.vectors)} and "
                    f"{len(self.vectors_2)}; take the two files of one training"
                )

    @cached_property
    def sha256(self) -> str:
        """Of the file, or of both one after the other, as hexadecimal digits."""
        data = self.file.read_bytes() + (b"" if self.file_2 is None else self.file_2.read_bytes())
        return hashlib.sha256(data).hexdigest()


def _check_vectors(token: str, name: str, vectors: object) -> None:
    if not (isinstance(vectors, np.ndarray) and vectors.dtype.kind == "f" and vectors.ndim == 2 and vectors.size):
        got = f"{vectors.dtype}{list(vectors.shape)}" if isinstance(vectors, np.ndarray) else type(vectors).__name__
        raise ConfigError(f"an embedding's {name} must be float[n,D], got {got}; pass one row for each vector")
    check_finite(f"the embedding {token}", name, vectors)


def paired(embeddings: Sequence[Embedding], width: int) -> list[Embedding]:
    """Put embeddings of one token together that come from two files, one for each text encoder of Stable Diffusion XL.

    Parameters
    ----------
    embeddings : sequence of Embedding
    width : int
        Of the first text encoder: those of another width are for the second. Of two with this width the first is for the first.
    """
    found: list[Embedding] = []
    for each in embeddings:
        alone = [k for k, other in enumerate(found) if other.token == each.token and other.vectors_2 is None]
        if each.vectors_2 is not None or not alone:
            found.append(each)
            continue
        before = found[alone[0]]
        first, second = (each, before) if before.vectors.shape[1] != width else (before, each)
        found[alone[0]] = replace(first, vectors_2=second.vectors, file_2=second.file)
    return found


def read_embedding(file: str | Path, token: str | None = None) -> Embedding:
    """Read a file of textual inversion.

    Parameters
    ----------
    file : path
        A safetensors file with one tensor, [D] or [n,D], or with ``clip_l`` and ``clip_g``.
    token : str or None
        None: the tensor's name, or the file's name without its ending where the tensor is called ``emb_params``, ``clip_l`` or ``clip_g``.

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
    names = _XL_KEYS if set(weights) == set(_XL_KEYS) else tuple(weights)
    if len(names) != 1 and names != _XL_KEYS:
        got = few_of(names) if names else "none"
        raise WeightsError(
            f"{file}: an embedding must be one tensor, under its token or {_A1111_KEY}, or clip_l and clip_g, got {got}; take another file"
        )
    if token is None:
        token = file.stem if names[0] in (_A1111_KEY, *_XL_KEYS) else names[0]
    token = _TOKEN.check(f"{file}: an embedding's token", token, "pass another one")
    if not token.strip():
        raise ConfigError(f"{file}: an embedding's token must be text, got {shown(token)}; pass another one")
    return Embedding(token, _vectors(weights, names[0]), file, _vectors(weights, names[1]) if names == _XL_KEYS else None)


def _vectors(weights: ComponentTensors, name: str) -> Float:
    shape = weights[name].shape
    vectors = weights.take(name, shape)
    if vectors.ndim not in (1, 2) or not vectors.size:
        raise WeightsError(f"{weights.where(name)} must be a vector, or some rows of them, got shape {list(shape)}; take another file")
    # a copy: a few numbers need no file that stays open
    return np.array(vectors, ndmin=2)
