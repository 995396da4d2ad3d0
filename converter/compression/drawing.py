"""Measure how replaced weights of a U-Net change what it draws: one step of fixed prompts, by torch, the latents compared.

Latents after a step with guidance show more than the U-Net's output on random inputs, as `converter.compression.measuring` compares them:
the text of a prompt decides what matters. They need the whole model, and torch.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from typing import Any, Self

import numpy as np
import torch
from torch import nn

from converter.verification.figures import psnr
from sdrt.arrays import Array
from sdrt.backends.base import BackendOptions
from sdrt.backends.component_options import PLAIN, ComponentOptions
from sdrt.backends.contract import signature
from sdrt.backends.torch import TorchBackend
from sdrt.backends.torch.construction import open_module
from sdrt.backends.torch.network import TorchNetwork
from sdrt.backends.torch.options import TorchOptions
from sdrt.errors import ConfigError
from sdrt.models import DownloadProgress, embedded
from sdrt.models.base import Model
from sdrt.models.components import ComponentName
from sdrt.pipeline import load

__all__ = ["DrawnLatents", "prompts_for"]

_SEED = 93
_PIXELS = 2**20  # in one call of the U-Net, with and without the prompt: four pictures of 512x512, one of 1024x1024
_SMALLEST_PSNR = -100.0  # of latents that are not finite: JSON knows no infinity

# Scenes as people ask for them: persons, animals, food, rooms, streets, landscapes, and a text of many words.
_PROMPTS = (
    "a photo of an astronaut riding a horse on mars",
    "a portrait of an old fisherman with a grey beard, soft light",
    "a bowl of ramen with an egg on a wooden table",
    "two dogs playing with a red ball on the beach",
    "a narrow street in an old town at night after the rain",
    "a mountain lake at sunrise, reflections in the water, oil painting",
    "a bright living room with a green sofa, plants and a large window",
    "a hand-drawn map of an island with a volcano, a harbour and a compass rose, ink on paper",
)
# The embedded models know shapes and colours alone.
_PROMPTS_OF_SHAPES = (
    "a red circle on a white background",
    "a small green star at the top left",
    "a blue square above a yellow heart",
    "a large purple ring on a black background",
)


def prompts_for(model: str) -> tuple[str, ...]:
    """Return the prompts that a model is measured with."""
    return _PROMPTS_OF_SHAPES if model in embedded() else _PROMPTS


class DrawnLatents:
    """A model whose U-Net's layers can be replaced, and the latents that it drew before.

    Parameters
    ----------
    model : str
        See `sdrt.load`.
    prompts : sequence of str
    min_elements : int
        Layers with fewer weights are left out.
    device : str or None
        torch's; None is a GPU if there is one.
    on_download : callable or None
        See `sdrt.load`.

    Raises
    ------
    SdrtError : see `sdrt.load`; or the model's U-Net has no such layer
    """

    def __init__(
        self,
        model: str,
        prompts: Sequence[str],
        *,
        min_elements: int,
        device: str | None = None,
        on_download: Callable[[DownloadProgress], Any] | None = None,
    ) -> None:
        self._backend = _KeptUNet()
        self._pipeline = load(model, backend=self._backend, device=device or _device(), on_download=on_download)
        self._prompts = tuple(prompts)
        try:
            settings = self._pipeline.resolve(self._prompts[0])
        except ConfigError as error:
            raise ConfigError(
                f"{model}: must draw from a prompt alone to be analysed, got {error}; take the model that it was made of"
            ) from error
        self._together = max(1, _PIXELS // (settings.height * settings.width))
        self._reference = self._draw()
        modules = self._backend.unet.module.named_modules()
        self._layers = {path: layer for path, layer in modules if isinstance(layer, nn.Linear | nn.Conv2d)}
        self._weights = {path: _numbers(layer) for path, layer in self._layers.items()}
        self.elements: Mapping[str, int] = {path: weight.size for path, weight in self._weights.items() if weight.size > min_elements}
        """The number of weights of each layer to compress, by its path in diffusers' U-Net, in the network's order."""
        if not self.elements:
            raise ConfigError(f"{model}: the U-Net must have layers of over {min_elements:,} weights, got none; it needs no mixed bits")

    @property
    def fingerprint(self) -> str:
        """What tells measurements of this U-Net and these prompts from others."""
        digest = hashlib.sha256(repr((self._prompts, _SEED)).encode())
        for path, weight in self._weights.items():
            digest.update(path.encode())
            digest.update(np.ascontiguousarray(weight).data)
        return digest.hexdigest()[:32]

    def weight(self, path: str) -> Array:
        """Return a layer's own weight in float16, as packages store it."""
        return self._weights[path].astype(np.float16)

    def every_weight(self) -> Mapping[str, Array]:
        """Return the own weights of all layers, the small ones included, in float32."""
        return self._weights

    def replace(self, weights: Mapping[str, Array]) -> None:
        """Replace the weights of some layers."""
        for path, weight in weights.items():
            target: torch.Tensor = self._layers[path].weight.data
            target.copy_(torch.from_numpy(np.ascontiguousarray(weight, np.float32)).reshape(target.shape))

    def restore(self) -> None:
        """Give every layer its own weight back."""
        self.replace(self._weights)

    def half_precision_psnr(self) -> tuple[float, ...]:
        """Return the PSNR of the uncompressed U-Net in float16: of its own weights and every layer's result, rounded."""
        for path in self._weights:
            self.replace({path: self.weight(path)})
        rounding = [layer.register_forward_hook(_to_half) for layer in self._layers.values()]
        try:
            return self.psnr()
        finally:
            for hook in rounding:
                hook.remove()
            self.restore()

    def psnr(self) -> tuple[float, ...]:
        """Draw with the weights as they are, and return the PSNR of each prompt's latents in dB, rounded to a tenth."""
        pairs = zip(self._draw(), self._reference, strict=True)
        return tuple(max(round(psnr(value, right), 1), _SMALLEST_PSNR) for value, right in pairs)

    def close(self) -> None:
        """Release the networks."""
        self._pipeline.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _draw(self) -> list[Array]:
        """Draw the prompts, small pictures in one call, and large ones one after another."""
        latents: list[Array] = []
        for start in range(0, len(self._prompts), self._together):
            prompts = self._prompts[start : start + self._together]
            with closing(self._pipeline.steps(prompts, seed=_SEED + start, num_inference_steps=1)) as steps:
                latents.extend(next(steps).latents)
        return latents


class _KeptUNet(TorchBackend):
    """The torch backend, with the U-Net's module at hand."""

    unet: Any = None

    def open(
        self, component: ComponentName, model: Model, options: BackendOptions, component_options: ComponentOptions = PLAIN
    ) -> TorchNetwork:
        if component != "unet":
            return super().open(component, model, options, component_options)
        own = TorchOptions.read(options)
        self.unet = open_module(component, model, dtype=own.dtype, device=own.device)
        return TorchNetwork(component, signature(component, model.config(component), options.numerics), self.unet, own)


def _to_half(_layer: nn.Module, _inputs: Any, result: torch.Tensor) -> torch.Tensor:
    return result.half().to(result.dtype)


def _numbers(layer: nn.Module) -> Array:
    numbers: Array = layer.weight.detach().cpu().numpy().copy()  # type: ignore[operator]
    return numbers


def _device() -> str:
    return "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
