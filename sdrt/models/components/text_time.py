"""The condition that SDXL's denoisers add to the time embedding: a pooled text embedding, and some numbers about sizes.

diffusers calls it ``addition_embed_type="text_time"``. Each number becomes ``addition_time_embed_dim`` features, which follow the pooled
text in a vector of ``projection_class_embeddings_input_dim``. The configuration states neither the width of the pooled text nor the count
of numbers: each follows from the other.

Source: Podell et al. 2023 (arXiv:2307.01952), section 2.2.
"""

from collections.abc import Mapping
from typing import Any

from sdrt.arrays import TensorSpec
from sdrt.errors import ConfigError

__all__ = ["BASE_NUMBERS", "REFINER_NUMBERS", "check_text_time", "has_text_time", "number_count", "text_time_config", "text_time_inputs"]

BASE_NUMBERS = 6  # original height and width, the crop's top and left, target height and width
REFINER_NUMBERS = 5  # original height and width, the crop's top and left, an aesthetic score
_COUNTS = (REFINER_NUMBERS, BASE_NUMBERS)


def has_text_time(config: Mapping[str, Any]) -> bool:
    """Return whether a U-Net or ControlNet takes the condition."""
    return bool(config["addition_embed_type"] == "text_time")


def check_text_time(config: Mapping[str, Any], where: str) -> None:
    """Check that a configuration with the condition states its widths.

    Raises
    ------
    ConfigError : it does not
    """
    joint, each = config["projection_class_embeddings_input_dim"], config["addition_time_embed_dim"]
    if has_text_time(config) and (joint is None or each is None or joint <= REFINER_NUMBERS * each):
        raise ConfigError(
            f"{where}: with addition_embed_type 'text_time', projection_class_embeddings_input_dim must be above {REFINER_NUMBERS} times "
            f"addition_time_embed_dim, got {joint} and {each}; correct the file"
        )


def number_count(config: Mapping[str, Any], pooled: int) -> int | None:
    """Return how many numbers follow a pooled text of this width; None if that is not a count of SDXL or its refiner.

    >>> number_count({"projection_class_embeddings_input_dim": 2816, "addition_time_embed_dim": 256}, 1280)
    6
    """
    count, rest = divmod(config["projection_class_embeddings_input_dim"] - pooled, config["addition_time_embed_dim"])
    return int(count) if not rest and count in _COUNTS else None


def text_time_config(pooled: int, count: int, each: int) -> dict[str, Any]:
    """Return the configuration of a condition with ``count`` numbers of ``each`` features."""
    return {
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": each,
        "projection_class_embeddings_input_dim": pooled + count * each,
    }


def text_time_inputs(config: Mapping[str, Any], dtype: str) -> tuple[TensorSpec, ...]:
    """Return the inputs of the condition; none for a network without it.

    Each count of numbers implies another width of the pooled text; the network refuses a pair that does not match.
    """
    if not has_text_time(config):
        return ()
    joint, each = config["projection_class_embeddings_input_dim"], config["addition_time_embed_dim"]
    counts = frozenset(count for count in _COUNTS if joint > count * each)
    return (
        TensorSpec("text_embeds", dtype, (None, frozenset(joint - count * each for count in counts))),
        TensorSpec("time_ids", dtype, (None, counts)),
    )
