"""Convert diffusers checkpoints to Core ML packages, on any system, and verify each package where it is made.

>>> from pathlib import Path
>>> from converter import ConvertOptions
>>> ConvertOptions(model="nano", out=Path("nano-coreml"), parts=("unet", "text_encoder", "vae_decoder")).attention.value
'SPLIT_EINSUM'

``converter.convert(options)`` makes the packages; see `converter.options` and `converter.conversion`.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from converter.conversion import convert
    from converter.options import Attention, ConvertOptions
    from converter.report import Report

__all__ = ["Attention", "ConvertOptions", "Report", "convert"]

_HOMES = {"Attention": "options", "ConvertOptions": "options", "Report": "report", "convert": "conversion"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'converter' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"converter.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
