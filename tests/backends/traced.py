"""Networks that can be looked into: which ones the tests open, and how."""

from pathlib import Path
from typing import Any

from sdrt.backends import ComponentOptions, TraceableNetwork
from sdrt.models.components import ComponentName
from tests.backends.cases import Case, open_case

__all__ = ["BACKENDS", "CASES", "label", "open_traceable"]

CASES: tuple[Case, ...] = (
    ("sd1", "unet"),
    ("lcm", "unet"),
    ("sdxl", "unet"),
    ("sd1", "controlnet"),
    ("sdxl", "controlnet"),
    ("sd1", "vae_decoder"),
    ("sd1", "vae_encoder"),
    ("sd1", "text_encoder"),
    ("sdxl", "text_encoder_2"),
)
BACKENDS = ("numpy", "torch")


def label(case: object) -> str | None:
    return " ".join(case) if isinstance(case, tuple) else None


def open_traceable(backend: str, folder: Path, component: ComponentName, options: ComponentOptions | None = None, **how: Any) -> Any:
    network = open_case(backend, folder, component, options or ComponentOptions(), **how)
    assert isinstance(network, TraceableNetwork)
    return network
