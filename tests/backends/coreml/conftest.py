"""Packages of random networks, converted once a run."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.backends.coreml import models
from tests.backends.coreml.peer import convert


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., tuple[Path, torch.nn.Module, dict[str, torch.Tensor]]]:
    """A function that gives a package, the module that it was made from, and inputs; tests must not change them."""
    made: dict[Any, tuple[Path, torch.nn.Module, dict[str, torch.Tensor]]] = {}
    kinds: dict[str, tuple[Any, dict[str, torch.Tensor], tuple[str, ...]]] = {
        "unet": (models.UNet, models.sample_inputs(), ("noise_pred",)),
        "vae_decoder": (models.VaeDecoder, {"z": torch.randn(1, 4, 6, 6)}, ("image",)),
        "vae_encoder": (models.VaeEncoder, {"x": torch.randn(1, 3, 12, 12)}, ("latent",)),
        "text_encoder": (models.TextEncoder, {"input_ids": torch.randint(0, 500, (1, 77)).int()}, ("hidden", "pooled")),
        "split_attention": (models.SplitAttention, {"x": torch.randn(2, 24, 1, 20), "context": torch.randn(2, 24, 1, 7)}, ("out",)),
        "layers": (models.Layers, {"x": torch.randn(2, 8, 6, 6)}, ("out",)),
    }

    def make(kind: str, precision: str = "float32", target: str = "iOS16") -> tuple[Path, torch.nn.Module, dict[str, torch.Tensor]]:
        key = (kind, precision, target)
        if key not in made:
            factory, inputs, outputs = kinds[kind]
            torch.manual_seed(5)
            module = factory().eval().requires_grad_(False)
            folder = tmp_path_factory.mktemp("-".join(key))
            made[key] = convert(module, inputs, outputs, folder, precision=precision, target=target), module, inputs
        return made[key]

    return make
