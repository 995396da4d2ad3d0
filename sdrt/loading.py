"""``sdrt.load``: a model's name or folder and a choice of backends become a pipeline."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sdrt.backends import Backend, BackendOptions, Numerics, registry
from sdrt.errors import ConfigError
from sdrt.models import (
    PARTS,
    Embedding,
    Part,
    Pickled,
    PredictionType,
    SingleFileModel,
    StoredModel,
    open_component,
    open_model,
    read_embedding,
)
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
    vae: str | Path | None = None,
    variant: str | None = None,
    prediction_type: PredictionType | None = None,
    pickled: Pickled = "refuse",
    **backend_options: Any,
) -> Pipeline:
    """Open a model.

    Weights are read when the first picture is drawn, or by ``pipe.load()``.

    Parameters
    ----------
    model : str or Path
        A folder in diffusers' layout, a checkpoint in one file (safetensors), the name of an embedded model (``"nano"``), or a repository
        of the Hugging Face Hub, which needs the extra ``hub``.
    backend : str, Backend, or mapping by part
        Which backend runs the networks; parts that a mapping leaves out run on ``numpy``.
    numerics : "float32" or "float64"
        float32 is fast; float64 is the truth that the other is measured against.
    embeddings : mapping from token to file, or sequence of files or of Embedding
        Textual inversions (safetensors), read now. In a sequence, a file's token is the name of its tensor, or the file's own name without
        the ending where that is ``emb_params``.
    vae : str, Path or None
        A VAE in the place of the model's own: its folder, its repository, or its file with the key names of the original code.
    variant : str or None
        Weights of a folder in this variant, such as ``"fp16"``; parts that have none of it give their plain ones.
    prediction_type : "epsilon", "v_prediction" or None
        What the U-Net of a checkpoint in one file predicts, which its weights do not tell; None is what the file's metadata say, else
        "v_prediction" for Stable Diffusion 2.x and "epsilon" for the others.
    pickled : "refuse" or "weights_only"
        What to do about weights that would have to be unpickled (``.bin``, ``.ckpt``, ``.pt``, ``.pth``): "weights_only" lets torch read
        tensors from them and nothing else, and needs the extra ``torch``.
    **backend_options
        ``threads``, and whatever the backend takes beside it. With a mapping, each option goes to the backends that know it.

    Raises
    ------
    ConfigError : unknown backend, part or option, or an embedding that does not fit the model
    ModelError : the folder lacks a part, or an embedding cannot be read

    >>> load("nano").model.name
    'nano'
    """
    opened = open_model(model, variant=variant, prediction_type=prediction_type, pickled=pickled)
    if vae is not None:
        factor = _scaling_factor(opened)
        opened = opened.with_component(open_component(vae, "vae_decoder", variant=variant, scaling_factor=factor, pickled=pickled))
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
    pipe = Pipeline(opened.with_embeddings(_read_embeddings(embeddings)), chosen, options)
    if embeddings:
        # built now, so that a token that is taken already is told here
        _ = pipe.tokenizer
    return pipe


def _scaling_factor(model: StoredModel) -> float:
    """That of the model's own VAE: a VAE in one file that takes its place does not say its own."""
    if isinstance(model, SingleFileModel):
        return model.family.scaling_factor
    return float(model.config("vae_decoder")["scaling_factor"])


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
