"""Networks, their rewritten forms, inputs for both, and packages of the rewritten forms."""

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from converter.options import Precision
from converter.precision import compute_precision
from tests.backends.coreml.peer import ct
from tests.factories import ADDED, Form

__all__ = ["Inputs", "called", "column", "decibels", "inputs_of", "package", "predicted", "small"]

Inputs = dict[str, torch.Tensor]

# Two levels, one of them with transformers: converts in seconds.
_SMALL: Mapping[str, Any] = {
    "block_out_channels": (32, 64),
    "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
    "attention_head_dim": 2,
    "layers_per_block": 1,
}
_SMALL_XL: Mapping[str, Any] = {
    "block_out_channels": (32, 64),
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
    "transformer_layers_per_block": (1, 1),
    "attention_head_dim": (1, 2),
    "layers_per_block": 1,
}


def small(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration with two levels."""
    merged = {**config, **(_SMALL_XL if config.get("addition_embed_type") else _SMALL)}
    # A ControlNet has no up path.
    return merged if "sample_size" in merged else {key: value for key, value in merged.items() if key != "up_block_types"}


def column(condition: torch.Tensor) -> torch.Tensor:
    """Convert [n, length, width] to the layout of Core ML models: [n, width, 1, length]."""
    return condition.transpose(1, 2)[:, :, None]


def inputs_of(module: Any, form: Form, size: tuple[int, int] = (8, 8), *, seed: int = 0, residuals: bool = False) -> Inputs:
    """Make inputs by the package's names, with two different rows."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator)

    config, (height, width) = module.config, size
    found = {
        "sample": draw(2, config.in_channels, height, width),
        "timestep": torch.tensor([981.0, 7.25]),
        "encoder_hidden_states": column(draw(2, 7, config.cross_attention_dim)),
    }
    if form in ADDED:
        pooled, count = ADDED[form]
        found |= {"time_ids": torch.tensor([[512.0, 768, 0, 16, 1024, 640][:count]] * 2) + seed, "text_embeds": draw(2, pooled)}
    if getattr(config, "time_cond_proj_dim", None):
        found["timestep_cond"] = draw(2, config.time_cond_proj_dim)
    if "conditioning_channels" in config:
        # Far brighter than an image, so that it matters beside the latents.
        found["controlnet_cond"] = 50 * torch.rand((2, 3, 8 * height, 8 * width), generator=generator)
    if residuals:
        shapes = [item.shape for item in _residuals(module, found)]
        found |= {f"additional_residual_{index}": draw(*shape) for index, shape in enumerate(shapes)}
    return found


def _residuals(module: Any, found: Inputs) -> Sequence[torch.Tensor]:
    """Return the results of a U-Net's down path and middle, recorded by hooks."""
    seen: list[torch.Tensor] = []
    handles = [module.conv_in.register_forward_hook(lambda _m, _i, out: seen.append(out))]
    handles += [block.register_forward_hook(lambda _m, _i, out: seen.extend(out[1])) for block in module.down_blocks]
    handles.append(module.mid_block.register_forward_hook(lambda _m, _i, out: seen.append(out)))
    predicted(module, found)
    for handle in handles:
        handle.remove()
    return seen


def predicted(module: Any, found: Inputs) -> list[torch.Tensor]:
    """Return what diffusers computes: the noise, or a ControlNet's residuals with the middle's last."""
    added = {name: found[name] for name in ("text_embeds", "time_ids") if name in found}
    extra: dict[str, Any] = {"added_cond_kwargs": added} if added else {}
    extra |= {name: found[name] for name in ("timestep_cond", "controlnet_cond") if name in found}
    if residuals := [value for name, value in found.items() if name.startswith("additional_residual_")]:
        extra |= {"down_block_additional_residuals": tuple(residuals[:-1]), "mid_block_additional_residual": residuals[-1]}
    condition = found["encoder_hidden_states"][:, :, 0].transpose(1, 2)
    result = module(found["sample"], found["timestep"], condition, return_dict=False, **extra)
    return [*result[0], result[1]] if "controlnet_cond" in found else [result[0]]


class _Named(nn.Module):
    """A rewritten network with positional inputs."""

    def __init__(self, module: nn.Module, names: Sequence[str]) -> None:
        super().__init__()
        self.module, self.names = module, tuple(names)

    def forward(self, *values: torch.Tensor) -> Any:
        given: dict[str, Any] = dict(zip(self.names, values, strict=True))
        residuals = [given.pop(name) for name in self.names if name.startswith("additional_residual_")]
        return self.module(**given, **({"additional_residuals": residuals} if residuals else {}))


def called(module: nn.Module, found: Inputs) -> list[torch.Tensor]:
    """Call a rewritten network with inputs by name."""
    result = _Named(module, list(found))(*found.values())
    return list(result) if isinstance(result, tuple) else [result]


def package(
    module: nn.Module,
    found: Inputs,
    outputs: Sequence[str],
    path: Path,
    precision: Precision,
    *,
    norms_in_float32: bool = True,
    samples: Sequence[tuple[int, ...]] = (),
) -> Path:
    """Trace a rewritten network, or any module, convert it, and save the package; all inputs are float32.

    ``samples`` lists the shapes of ``sample``, if there are several.
    """
    shapes: dict[str, Any] = {name: tuple(value.shape) for name, value in found.items()}
    if samples:
        shapes["sample"] = ct.EnumeratedShapes(shapes=list(samples), default=shapes["sample"])
    named = _Named(module, list(found)) if "sample" in found else module
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(named.eval(), tuple(found.values()), check_trace=False)
        model = ct.convert(
            traced,
            convert_to="mlprogram",
            minimum_deployment_target=ct.target.iOS17 if samples else ct.target.iOS16,
            compute_precision=compute_precision(precision, norms_in_float32=norms_in_float32),
            inputs=[ct.TensorType(name=name, shape=shape, dtype=np.float32) for name, shape in shapes.items()],
            outputs=[ct.TensorType(name=name, dtype=np.float32) for name in outputs],
            skip_model_load=True,
        )
    model.save(str(path))
    return path


def decibels(found: np.ndarray, wanted: np.ndarray) -> float:
    """Return the peak signal-to-noise ratio of Apple's converter: apple/ml-stable-diffusion at e12202c, torch2coreml.py."""
    error = np.sqrt(np.mean(np.square(found.astype(np.float64) - wanted)))
    return float(20 * np.log10((np.abs(wanted).max() + 1e-5) / (error + 1e-10)))
