"""ControlNets: networks that read a picture (edges, a pose, depth) and add residuals inside the U-Net.

Source: Zhang et al. 2023 (arXiv:2302.05543); diffusers 0.42.1 ``StableDiffusionControlNetPipeline``.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sdrt.arrays import F32, Array, Float
from sdrt.backends.pool import CheckedNetwork
from sdrt.errors import ConfigError
from sdrt.guidance import Call
from sdrt.pipeline.conditions.control_mode import BALANCED, ControlMode

__all__ = ["BoundControlNet", "Control", "ControlSettings", "residuals", "resolve_control_settings"]


@dataclass(frozen=True, kw_only=True)
class ControlSettings:
    """The strength of one ControlNet, the part of the run in which it acts, and the rows and depths at which it does."""

    conditioning_scale: float = 1.0
    mode: ControlMode = BALANCED
    guidance_start: float = 0.0  # fraction of the run at which it begins to act
    guidance_end: float = 1.0  # fraction at which it stops

    def acts(self, call: Call) -> bool:
        """Return whether the ControlNet acts in this call."""
        start, end = call.index / call.num_calls, (call.index + 1) / call.num_calls
        return self.guidance_start <= start and end <= self.guidance_end


@dataclass(frozen=True, eq=False)
class Control:
    """The picture of one ControlNet, f32[1,3,H,W] in [0, 1], and its settings."""

    picture: F32
    settings: ControlSettings


@dataclass(frozen=True, eq=False)
class BoundControlNet:
    """One ControlNet, its picture and texts bound for the samples at ``places`` of a batch; None: for all."""

    network: CheckedNetwork
    settings: ControlSettings
    places: slice | list[int] | None = None


def residuals(controlnets: Sequence[BoundControlNet], call: Call, **inputs: Array) -> dict[str, Float]:
    """Run every ControlNet that acts in this call, and add up their residuals; empty if none acts."""
    total: dict[str, Float] = {}
    for controlnet in controlnets:
        if not controlnet.settings.acts(call):
            continue
        places, scale = controlnet.places, controlnet.settings.conditioning_scale
        outputs = controlnet.network(**(inputs if places is None else {name: value[places] for name, value in inputs.items()}))
        names = controlnet.network.signature.output_names()
        for name, weight in zip(names, controlnet.settings.mode.weights(len(names)), strict=True):
            scaled: Float = outputs[name] * (scale * weight)
            if places is not None:
                scaled = _at(places, scaled, len(inputs["sample"]))
            total[name] = total[name] + scaled if name in total else scaled
    return total


def _at(places: slice | list[int], values: Float, count: int) -> Float:
    """Return values in their places among ``count`` rows, zeros in the others."""
    spread = np.zeros((count, *values.shape[1:]), values.dtype)
    spread[places] = values
    return spread


def resolve_control_settings(
    count: int, scale: float | Sequence[float] | None, start: float | Sequence[float] | None, end: float | Sequence[float] | None
) -> tuple[ControlSettings, ...]:
    """Return the settings of ``count`` ControlNets; each option is one number for all, or one for each.

    Raises
    ------
    ConfigError : the wrong number of values, or a part of the run that ends before it starts
    """
    columns = [
        _each("controlnet_conditioning_scale", scale, 1.0, count),
        _each("control_guidance_start", start, 0.0, count),
        _each("control_guidance_end", end, 1.0, count),
    ]
    for first, last in zip(columns[1], columns[2], strict=True):
        if first >= last:
            raise ConfigError(f"control_guidance_start and _end must rise within [0, 1], got {first} to {last}; 0 and 1 are the whole run")
    return tuple(ControlSettings(conditioning_scale=s, guidance_start=a, guidance_end=b) for s, a, b in zip(*columns, strict=True))


def _each(name: str, value: float | Sequence[float] | None, default: float, count: int) -> list[float]:
    if value is None:
        return [default] * count
    values = [float(number) for number in value] if isinstance(value, Sequence) else [float(value)] * count
    if len(values) != count:
        raise ConfigError(
            f"{name} must be one number, or one for each of {count} ControlNets, got {len(values)}; leave some out, or add the others"
        )
    return values
