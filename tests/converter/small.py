"""A small network, as a package, with every case that compression and chunking distinguish."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from sdrt.arrays import Array
from sdrt.backends.coreml import MLProgram
from tests.backends.coreml.peer import convert, ct

__all__ = ["EXACT", "Small", "annotated", "inputs", "opened", "outputs", "saved", "small_package"]

# In float32 throughout, so that a value is the one that torch computes.
EXACT: dict[str, Any] = {"precision": "float32", "float32_weights": True}


class Small(nn.Module):
    """An embedding lookup, convolutions, a long skip connection, attention, and weights below and above thresholds."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(11)
        self.table = nn.Embedding(100, 24)
        self.first = nn.Conv2d(4, 24, 3, padding=1)
        self.down = nn.Conv2d(24, 48, 3, stride=2, padding=1)
        self.norm = nn.GroupNorm(4, 48)
        self.q, self.k, self.v = nn.Linear(48, 48), nn.Linear(24, 48), nn.Linear(24, 48)
        self.middle = nn.Conv2d(48, 48, 3, padding=1)
        self.last = nn.Conv2d(72, 4, 3, padding=1)
        for item in (self.norm.weight, self.norm.bias):
            nn.init.normal_(item)

    def forward(self, sample: torch.Tensor, input_ids: torch.Tensor) -> torch.Tensor:
        context = self.table(input_ids.long())
        early = torch.nn.functional.silu(self.first(sample))
        x = torch.nn.functional.silu(self.norm(self.down(early)))
        flat = x.flatten(2).transpose(1, 2)
        weights = (self.q(flat) @ self.k(context).transpose(1, 2) * 48**-0.5).softmax(dim=-1)
        x = x + (weights @ self.v(context)).transpose(1, 2).reshape(x.shape)
        x = x + self.middle(x)
        x = torch.nn.functional.interpolate(x, scale_factor=2.0, mode="nearest")
        found: torch.Tensor = self.last(torch.cat([x, early], dim=1))
        return found


def small_package(folder: Path, *, precision: str = "float16", target: str = "iOS16", shapes: Any = None) -> Path:
    given = {"sample": torch.randn(1, 4, 8, 8), "input_ids": torch.zeros(1, 7).int()}
    return convert(Small().requires_grad_(False), given, ("noise_pred",), folder, precision=precision, target=target, shapes=shapes)


def inputs() -> dict[str, Array]:
    source = np.random.default_rng(3)
    return {"sample": source.standard_normal((1, 4, 8, 8), np.float32), "input_ids": source.integers(0, 100, (1, 7)).astype(np.int32)}


def opened(path: Path) -> Any:
    return ct.models.MLModel(str(path), skip_model_load=True)


def annotated(path: Path) -> Any:
    """Open a package's model, with every kind of description filled in."""
    model = opened(path)
    model.author, model.license, model.version, model.short_description = "Ada", "OpenRAIL", "1.4", "A network"
    model.input_description["sample"], model.output_description["noise_pred"] = "Noisy latents", "The noise in them"
    model.user_defined_metadata["com.example.key"] = "value"
    return model


def saved(model: Any, path: Path) -> Path:
    model.save(str(path))
    return path


def outputs(path: Path, precision: Any = "float32") -> Array:
    with MLProgram(path, precision) as program:
        found: Array = program.predict(inputs())["noise_pred"]
    return found
