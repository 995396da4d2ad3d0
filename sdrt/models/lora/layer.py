"""One layer of a LoRA: which kind its factors are of, and what they add to which tensors."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from sdrt.errors import ModelError
from sdrt.models.lora.delta import Delta
from sdrt.models.lora.dora import dora_delta
from sdrt.models.lora.factors import Factors
from sdrt.models.lora.full import full_delta
from sdrt.models.lora.ia3 import ia3_delta
from sdrt.models.lora.loha import loha_delta
from sdrt.models.lora.lokr import lokr_delta
from sdrt.models.lora.lora import lora_delta

__all__ = ["BIAS_FACTORS", "weight_delta"]

# The factors that change a module's bias; all others change its weight.
BIAS_FACTORS = ("diff_b", "b_norm")

_MAGNITUDES = ("dora_scale", "magnitude")
# Each kind by how its factors are called.
_KINDS: Mapping[tuple[str, ...], Callable[[Factors], Delta]] = {
    ("down", "up", "middle"): lora_delta,
    ("hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b", "hada_t1", "hada_t2"): loha_delta,
    ("lokr_w1", "lokr_w1_a", "lokr_w1_b", "lokr_w2", "lokr_w2_a", "lokr_w2_b", "lokr_t1", "lokr_t2"): lokr_delta,
    ("weight", "on_input"): ia3_delta,
    ("diff",): lambda factors: full_delta(factors, "diff"),
    ("w_norm",): lambda factors: full_delta(factors, "w_norm"),
}


def weight_delta(factors: Factors) -> Delta | None:
    """Return what a layer adds to its module's weight; None if it holds a bias alone.

    Raises
    ------
    ModelError : factors of no kind, of two kinds, or such that do not fit
    """
    rest = factors.tensors.keys() - {"alpha", *_MAGNITUDES}
    kinds = [make for names, make in _KINDS.items() if not rest.isdisjoint(names)]
    if not kinds and not (factors.tensors.keys() - {"alpha"}):
        return None
    if len(kinds) != 1:
        got = ", ".join(sorted(factors.tensors))
        raise ModelError(f"{factors.where} must have the tensors of one kind of LoRA, got {got}; the file is damaged")
    inner = kinds[0](replace(factors, tensors={name: tensor for name, tensor in factors.tensors.items() if name not in _MAGNITUDES}))
    return inner if factors.tensors.keys().isdisjoint(_MAGNITUDES) else dora_delta(inner, factors)
