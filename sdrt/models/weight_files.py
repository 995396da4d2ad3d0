"""Which files hold a component's weights: one, or shards with an index, of one variant or none, as diffusers and transformers name them.

Source: ``utils/constants.py`` and ``models/model_loading_utils.py`` of diffusers 0.42.1, ``utils/hub.py`` of transformers 5.23.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from sdrt.errors import MissingFileError, ModelError
from sdrt.files import entries, exists, is_file, is_folder
from sdrt.limits import DEFAULT_LIMITS, Limits
from sdrt.models.base import Pickled
from sdrt.models.json_file import read_json
from sdrt.models.pickled import PICKLE_SUFFIXES, refusal

__all__ = ["WeightFiles", "find_weights", "variants_in", "variants_of", "weight_names", "weights_remark"]

_STEMS = ("model", "diffusion_pytorch_model")
_PICKLED_STEMS = ("pytorch_model", "diffusion_pytorch_model")
# model.fp16.safetensors, model-00001-of-00002.fp16.safetensors, model.fp16-00001-of-00002.safetensors
_VARIANT = re.compile(r"(?:pytorch_model|model|diffusion_pytorch_model)(?:-\d+-of-\d+)?\.(\w+)(?:-\d+-of-\d+)?\.(?:safetensors|bin)")


@dataclass(frozen=True)
class WeightFiles:
    """The files of one component.

    Parameters
    ----------
    files : tuple of Path
    index : mapping from stored name to file
        What the index of a sharded component says; empty where there is one file.
    passed_over : tuple of Path
        Others of the same variant beside them.
    """

    files: tuple[Path, ...]
    index: Mapping[str, Path] = field(default_factory=dict)
    passed_over: tuple[Path, ...] = ()


def variants_in(folder: Path) -> tuple[str, ...]:
    """Return the variants that a component's folder has weights of, sorted: ``("fp16", "non_ema")``."""
    return variants_of(entry.name for entry in entries(folder)) if is_folder(folder) else ()


def variants_of(names: Iterable[str]) -> tuple[str, ...]:
    """Return the variants among the names of a component's files, sorted."""
    matches = map(_VARIANT.fullmatch, names)
    return tuple(sorted({match[1] for match in matches if match}))


def weight_names(names: Iterable[str], variant: str | None, pickled: Pickled) -> tuple[str, ...]:
    """Return, of the names of a component's files, those that `find_weights` would read; nothing where it would raise.

    Shards are known by their names, since their index is not here yet; the index is among what is returned.

    >>> weight_names(["model.safetensors", "model.fp16.safetensors", "pytorch_model.bin"], "fp16", "refuse")
    ('model.fp16.safetensors',)
    """
    there = frozenset(names)
    for stems, suffix in _kinds(pickled):
        for stem in stems:
            for index, shards in _index_names(stem, variant, suffix):
                if index in there:
                    return (index, *sorted(name for name in there if re.fullmatch(shards, name)))
        for whole in (f"{stem}{_infix(variant)}.{suffix}" for stem in stems):
            if whole in there:
                return (whole,)
    return ()


def _kinds(pickled: Pickled) -> tuple[tuple[tuple[str, ...], str], ...]:
    """Return the stems and endings of weights, those that are read before others first."""
    safe = ((_STEMS, "safetensors"),)
    return (*safe, (_PICKLED_STEMS, "bin")) if pickled == "weights_only" else safe


def _infix(variant: str | None) -> str:
    return f".{variant}" if variant else ""


def _index_names(stem: str, variant: str | None, suffix: str) -> tuple[tuple[str, str], ...]:
    """Return what an index may be called, and a pattern of its shards; what diffusers and transformers write is first."""
    infix, number = _infix(variant), r"-\d{5}-of-\d{5}"
    shards = "|".join(rf"{re.escape(stem)}{form}\.{suffix}" for form in (number + re.escape(infix), re.escape(infix) + number))
    names = dict.fromkeys((f"{stem}.{suffix}.index{infix}.json", f"{stem}{infix}.{suffix}.index.json"))
    return tuple((name, shards) for name in names)


def find_weights(folder: Path, variant: str | None, pickled: Pickled, limits: Limits = DEFAULT_LIMITS) -> WeightFiles:
    """Find the weights in a component's folder: safetensors before pickles, shards before one file, as diffusers does.

    Parameters
    ----------
    folder : Path
    variant : str or None
        Such as ``"fp16"``; None is the files without one.
    pickled : "refuse" or "weights_only"
    limits : Limits

    Raises
    ------
    MissingFileError : there are none, of this variant; the message names what there is
    ModelError : an index that cannot be read
    """
    infix = _infix(variant)
    for stems, suffix in _kinds(pickled):
        whole = tuple(file for stem in stems if exists(file := folder / f"{stem}{infix}.{suffix}"))
        for stem in stems:
            for name, _ in _index_names(stem, variant, suffix):
                if exists(file := folder / name):
                    return replace(_read_index(file, limits), passed_over=whole)
        if whole:
            return WeightFiles(whole[:1], passed_over=whole[1:])
    wanted = ", ".join(f"{stem}{infix}.safetensors" for stem in _STEMS)
    raise MissingFileError(f"{folder}: has none of {wanted}; {_repair(folder, variant, pickled)}")


def weights_remark(folder: Path, weights: WeightFiles) -> dict[str, str]:
    """Return the remark that there are two sets of weights, of which one is used; none where there is one."""
    if not weights.passed_over:
        return {}
    used = f"the shards of {folder.name}'s index are used" if weights.index else f"{weights.files[0].name} is used"
    return {f"weights of {folder.name}": f"{used}, and not {', '.join(file.name for file in weights.passed_over)} beside them"}


def _repair(folder: Path, variant: str | None, pickled: Pickled) -> str:
    if others := [each for each in variants_in(folder) if each != variant]:
        return f"there are weights of variant {', '.join(others)}: pass variant={others[0]!r}"
    unread = [entry.name for entry in entries(folder) if entry.suffix in PICKLE_SUFFIXES] if is_folder(folder) else []
    if unread and pickled == "refuse":
        return refusal(*unread)
    return "fetch the component's weights"


def _read_index(file: Path, limits: Limits) -> WeightFiles:
    weight_map = read_json(file, limits).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map or not all(isinstance(shard, str) for shard in weight_map.values()):
        raise ModelError(f"{file}: weight_map must be an object of tensor names and their files; fetch it again")
    if outside := next((shard for shard in weight_map.values() if Path(shard).name != shard), None):
        raise ModelError(f"{file}: names the shard {outside!r}, which is no file of this folder; fetch it again")
    index = {name: file.parent / shard for name, shard in weight_map.items()}
    files = tuple(dict.fromkeys(index.values()))
    if absent := [shard.name for shard in files if not is_file(shard)]:
        raise MissingFileError(f"{file}: names {', '.join(absent)}, not found beside it; fetch the component's weights again")
    return WeightFiles(files, index)
