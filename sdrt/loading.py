"""``sdrt.load``: a model's name or folder and a choice of backends become a pipeline."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sdrt.backends import Backend, BackendOptions, Numerics, registry
from sdrt.errors import ConfigError
from sdrt.models import PARTS, Embedding, Part, open_model, read_embedding
from sdrt.pipeline import Pipeline

__all__ = ["load"]

# Options that every backend understands, beside the name of its own ones.
_COMMON_OPTIONS = ("threads",)


def load(
    model: str | Path = "nano",
    backend: str | Backend | Mapping[str, str | Backend] = "numpy",
    numerics: Numerics = "float32",
    *,
    embeddings: Mapping[str, str | Path] | Sequence[str | Path | Embedding] = (),
    **backend_options: Any,
) -> Pipeline:
    """Open a model.

    Weights are read when the first picture is drawn, or by ``pipe.load()``.

    Parameters
    ----------
    model : str or Path
        A folder in diffusers' layout, the name of an embedded model (``"nano"``), or a repository of the Hugging Face Hub, which needs
        the extra ``hub``.
    backend : str, Backend, or mapping by part
        Which backend runs the networks; parts that a mapping leaves out run on ``numpy``.
    numerics : "float32" or "float64"
        float32 is fast; float64 is the truth that the other is measured against.
    embeddings : mapping from token to file, or sequence of files or of Embedding
        Textual inversions (safetensors), read now. In a sequence, a file's token is the name of its tensor, or the file's own name without
        the ending where that is ``emb_params``.
    **backend_options
        ``threads``, and whatever the backend takes beside it. With a mapping, each option goes to the backends that know it.

    Raises
    ------
    ConfigError : unknown backend, part or option, or an embedding that does not fit the model
    ModelError : the folder lacks a part, or an embedding cannot be read

    >>> load("nano").model.name
    'nano'
    """
    folder = open_model(model)
    chosen = _by_part(backend)
    distinct = {each.name: each for each in chosen.values()}
    known = [*_COMMON_OPTIONS, *dict.fromkeys(name for each in distinct.values() for name in each.option_names)]
    if unknown := sorted(set(backend_options) - set(known)):
        raise ConfigError(f"unknown option {', '.join(unknown)}; with backend {', '.join(distinct)} the options are {', '.join(known)}")
    options = {
        part: BackendOptions(
            numerics=numerics,
            threads=backend_options.get("threads"),
            extra={name: backend_options[name] for name in each.option_names if name in backend_options},
        )
        for part, each in chosen.items()
    }
    pipe = Pipeline(folder.with_embeddings(_read_embeddings(embeddings)), chosen, options)
    if embeddings:
        # built now, so that a token that is taken already is told here
        _ = pipe.tokenizer
    return pipe


def _read_embeddings(embeddings: Mapping[str, str | Path] | Sequence[str | Path | Embedding]) -> list[Embedding]:
    if isinstance(embeddings, Mapping):
        return [read_embedding(file, token) for token, file in embeddings.items()]
    if isinstance(embeddings, str | Path):
        raise ConfigError(
            f"embeddings is a list of files, or a mapping from token to file; got the single {str(embeddings)!r}: write [file]"
        )
    return [each if isinstance(each, Embedding) else read_embedding(each) for each in embeddings]


def _by_part(backend: str | Backend | Mapping[str, str | Backend]) -> dict[Part, Backend]:
    if not isinstance(backend, Mapping):
        one = _resolve(backend)
        return dict.fromkeys(PARTS, one)
    if unknown := sorted(set(backend) - set(PARTS)):
        raise ConfigError(f"no part is named {', '.join(unknown)}; a model's parts are {', '.join(PARTS)}")
    return {part: _resolve(backend.get(part, "numpy")) for part in PARTS}


def _resolve(backend: str | Backend) -> Backend:
    return registry.get(backend) if isinstance(backend, str) else backend
