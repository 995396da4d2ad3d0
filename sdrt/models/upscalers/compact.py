"""The compact form's configuration from the shapes of its tensors, which are called ``body.0.weight``, ``body.1.weight``, ...

Source: XPixelGroup/BasicSR 1.4.2 ``archs/srvgg_arch.py``.
"""

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeAlias

from sdrt.errors import ConfigError, ModelError
from sdrt.models.components.upscaler import CHANNELS

__all__ = ["Activation", "compact_config", "is_compact_file"]

Shapes: TypeAlias = Mapping[str, tuple[int, ...]]

# Of models without weights for it.
Activation: TypeAlias = Literal["relu", "leakyrelu"]

_NAME = re.compile(r"body\.(\d+)\.(?:weight|bias)")
_FIRST, _FIRST_ACTIVATION = "body.0.weight", "body.1.weight"


def is_compact_file(shapes: Shapes) -> bool:
    """Return whether a file holds the compact form: a list of convolutions."""
    return len(shapes.get(_FIRST, ())) == 4


def compact_config(file: Path, shapes: Shapes, activation: Activation | None) -> dict[str, Any]:
    """Derive the configuration from the shapes.

    Parameters
    ----------
    file : Path
        For messages.
    shapes : mapping from name to shape
    activation : "relu", "leakyrelu" or None
        That of a model whose activations have no weights, for which no tensor tells it.

    Raises
    ------
    ConfigError : no activation where the tensors do not tell, or one where they do
    ModelError : pictures of other channels than red, green and blue, or another network
    """
    places = [int(match[1]) for name in shapes if (match := _NAME.fullmatch(name))]
    first, last = shapes[_FIRST], shapes.get(f"body.{max(places)}.weight", ())
    channels = last[0] if len(last) == 4 else 0
    upscale = math.isqrt(channels // CHANNELS)
    if max(places) % 2 or first[1] != CHANNELS or not upscale or channels != CHANNELS * upscale**2:
        raise ModelError(
            f"{file}: a compact upscaler must take {CHANNELS} channels and give {CHANNELS} times its scale squared, got {first[1]} and "
            f"{channels}; pass one for colours, with all of its tensors"
        )
    has_weights = _FIRST_ACTIVATION in shapes
    if has_weights and activation is not None:
        raise ConfigError(f"{file}: its activations have weights (PReLU), got activation={activation!r}; leave it out")
    if not has_weights and activation is None:
        raise ConfigError(f"{file}: its tensors do not say its activation; pass activation='relu' or activation='leakyrelu'")
    return {
        "_class_name": "SRVGGNetCompact",
        "num_feat": first[0],
        "num_conv": max(places) // 2 - 1,
        "upscale": upscale,
        "act_type": activation or "prelu",
    }
