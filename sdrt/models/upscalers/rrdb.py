"""RRDBNet's tensors under one spelling, and its configuration from their shapes.

Three spellings are around: that of ESRGAN's first code, a flat list of modules (``model.1.sub.0.RDB1.conv1.0.weight``); that of its second
(``RRDB_trunk.0.RDB1.conv1.weight``); and that of BasicSR and Real-ESRGAN (``body.0.rdb1.conv1.weight``), which is the canonical one.

Source: xinntao/ESRGAN at 73e9b63 (``RRDBNet_arch.py`` and ``transer_RRDB_models.py``); XPixelGroup/BasicSR 1.4.2 ``archs/rrdbnet_arch.py``.
"""

import math
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from sdrt.errors import ModelError
from sdrt.models.components.upscaler import CHANNELS

__all__ = ["rrdb_config", "rrdb_names"]

Shapes: TypeAlias = Mapping[str, tuple[int, ...]]

_OLD_MARK, _SECOND_MARK, _NEW_MARK = "model.1.sub.0.RDB1.", "RRDB_trunk.0.RDB1.", "body.0.rdb1."
_END = r"(weight|bias)"
_OLD_BLOCK = re.compile(rf"model\.1\.sub\.(\d+)\.RDB([123])\.conv([1-5])\.0\.{_END}")
_OLD_BODY = re.compile(rf"model\.1\.sub\.\d+\.{_END}")
_OLD_OTHER = re.compile(rf"model\.(\d+)\.{_END}")
_SECOND_BLOCK = re.compile(rf"RRDB_trunk\.(\d+)\.RDB([123])\.conv([1-5])\.{_END}")
_SECOND_OTHERS = {"trunk_conv": "conv_body", "upconv1": "conv_up1", "upconv2": "conv_up2", "upconv3": "conv_up3", "HRconv": "conv_hr"}
_BLOCK = re.compile(r"body\.(\d+)\.rdb[123]\.conv[1-5]\.weight")
_UNSHUFFLES = (1, 2, 4)


def rrdb_names(names: Collection[str]) -> dict[str, str] | None:
    """Map the names of a file to canonical ones; None where it holds no RRDBNet.

    Names that have no place in the network are left out.

    >>> rrdb_names(["model.1.sub.0.RDB1.conv2.0.bias", "model.0.weight", "model.1.sub.1.weight", "model.2.weight", "model.4.weight"])
    ... # doctest: +NORMALIZE_WHITESPACE
    {'model.1.sub.0.RDB1.conv2.0.bias': 'body.0.rdb1.conv2.bias', 'model.0.weight': 'conv_first.weight',
     'model.1.sub.1.weight': 'conv_body.weight', 'model.2.weight': 'conv_hr.weight', 'model.4.weight': 'conv_last.weight'}
    """
    if any(name.startswith(_OLD_MARK) for name in names):
        return _old_names(names)
    if any(name.startswith(_SECOND_MARK) for name in names):
        return {name: _second_name(name) for name in names}
    return {name: name for name in names} if any(name.startswith(_NEW_MARK) for name in names) else None


def _old_names(names: Collection[str]) -> dict[str, str]:
    # behind the trunk come the upsamplings, each with a convolution, and two more convolutions; activations take numbers too
    places = sorted({int(match[1]) for name in names if (match := _OLD_OTHER.fullmatch(name))} - {0})
    ends = [*(f"conv_up{index}" for index in range(1, len(places) - 1)), "conv_hr", "conv_last"]
    others = {0: "conv_first", **dict(zip(places, ends, strict=False))}
    known = {}
    for name in names:
        if block := _OLD_BLOCK.fullmatch(name):
            known[name] = f"body.{block[1]}.rdb{block[2]}.conv{block[3]}.{block[4]}"
        elif body := _OLD_BODY.fullmatch(name):
            known[name] = f"conv_body.{body[1]}"
        elif other := _OLD_OTHER.fullmatch(name):
            known[name] = f"{others[int(other[1])]}.{other[2]}"
    return known


def _second_name(name: str) -> str:
    if block := _SECOND_BLOCK.fullmatch(name):
        return f"body.{block[1]}.rdb{block[2]}.conv{block[3]}.{block[4]}"
    module, _, end = name.rpartition(".")
    return f"{_SECOND_OTHERS.get(module, module)}.{end}"


def rrdb_config(file: Path, shapes: Shapes) -> dict[str, Any]:
    """Derive the configuration from the shapes.

    Parameters
    ----------
    file : Path
        For messages.
    shapes : mapping from canonical name to shape

    Raises
    ------
    ModelError : a convolution is missing that tells the structure, or pictures of other channels than red, green and blue
    """
    first, last, growth = (shapes.get(f"{name}.weight", ()) for name in ("conv_first", "conv_last", "body.0.rdb1.conv1"))
    if any(len(shape) != 4 for shape in (first, last, growth)):
        raise ModelError(f"{file}: its first or its last convolution is missing, or is none; the file is damaged, fetch it again")
    unshuffle = math.isqrt(first[1] // CHANNELS)
    if last[0] != CHANNELS or first[1] != CHANNELS * unshuffle**2 or unshuffle not in _UNSHUFFLES:
        raise ModelError(
            f"{file}: an upscaler must take pictures of {CHANNELS} channels (or 12 or 48, unshuffled) and give {CHANNELS}, got "
            f"{first[1]} and {last[0]}; pass one for colours"
        )
    blocks = [int(match[1]) for name in shapes if (match := _BLOCK.fullmatch(name))]
    return {
        "_class_name": "RRDBNet",
        "num_feat": first[0],
        "num_block": max(blocks) + 1,
        "num_grow_ch": growth[0],
        "unshuffle": unshuffle,
        "upsamplings": sum(name.startswith("conv_up") and name.endswith(".weight") for name in shapes),
    }
