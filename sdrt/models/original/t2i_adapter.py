"""A T2I-Adapter's names and configuration, out of the names and shapes in a file of the original code, or of diffusers.

Source: ``ldm/modules/encoders/adapter.py`` of TencentARC/T2I-Adapter (``Adapter``, ``Adapter_XL`` and ``Adapter_light``, with ``ksize=1``,
``sk=True`` and ``use_conv=False``, as the published ones were trained); ``models/adapter.py`` of diffusers 0.42.1 (ours).
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from sdrt.errors import ModelError

__all__ = ["adapter_config", "adapter_name", "blocks_per_feature", "is_adapter"]

Shapes = Mapping[str, tuple[int, ...]]

_PREFIX = "adapter."
_FLAT = re.compile(r"body\.(\d+)\.(in_conv|block1|block2)\.(weight|bias)")
_LIGHT = re.compile(r"body\.(\d+)\.body\.(\d+)\.(block1|block2)\.(weight|bias)")
_BLOCK = re.compile(r"adapter\.body\.(\d+)\.resnets\.(\d+)\.block1\.weight")
# Which pixels become channels: (colours, side of a square) by channels.
_SQUARES = {64: (1, 8), 192: (3, 8), 256: (1, 16), 768: (3, 16)}


def is_adapter(names: Iterable[str]) -> bool:
    """Return whether tensors of these names are a T2I-Adapter's."""
    return any(name.removeprefix(_PREFIX).startswith("body.0.") and ".block1." in name for name in names)


def blocks_per_feature(names: Iterable[str]) -> int:
    """Return how many blocks of a full adapter of the original code make a feature: its body is flat, and the second feature is wider.

    0 for names that are nested as diffusers has them, and of a light adapter, whose body is.
    """
    plain = {name.removeprefix(_PREFIX) for name in names}
    if "body.0.block1.weight" not in plain:
        return 0
    widening = [int(match[1]) for name in plain if (match := _FLAT.fullmatch(name)) and match[2] == "in_conv"]
    return min(widening, default=1 + max(int(match[1]) for name in plain if (match := _FLAT.fullmatch(name))))


def adapter_name(stored: str, blocks: int) -> str | None:
    """Return the canonical name of a tensor; None if a T2I-Adapter has no such tensor.

    Parameters
    ----------
    stored : str
    blocks : int
        See `blocks_per_feature`.

    >>> adapter_name("body.5.block1.bias", 2), adapter_name("body.1.body.3.block2.bias", 0)
    ('adapter.body.2.resnets.1.block1.bias', 'adapter.body.1.resnets.3.block2.bias')
    >>> adapter_name("adapter.conv_in.weight", 0), adapter_name("body.2.skep.weight", 2)
    ('adapter.conv_in.weight', None)
    """
    name = stored.removeprefix(_PREFIX)
    if blocks and (match := _FLAT.fullmatch(name)):
        feature, inner = divmod(int(match[1]), blocks)
        place = match[2] if match[2] == "in_conv" else f"resnets.{inner}.{match[2]}"
        return f"{_PREFIX}body.{feature}.{place}.{match[3]}"
    if match := _LIGHT.fullmatch(name):
        return f"{_PREFIX}body.{match[1]}.resnets.{match[2]}.{match[3]}.{match[4]}"
    return _PREFIX + name if name.startswith("conv_in.") or (not blocks and name.startswith("body.")) else None


def adapter_config(file: Path, shapes: Shapes) -> dict[str, Any]:
    """Derive the configuration from the shapes of the tensors, by canonical name.

    Raises
    ------
    ModelError : another architecture
    """
    found = [match for name in shapes if (match := _BLOCK.fullmatch(name))]
    count, blocks = (1 + max((int(match[number]) for match in found), default=-1) for number in (1, 2))
    light = "adapter.body.0.out_conv.weight" in shapes
    first = shapes.get("adapter.body.0.in_conv.weight" if light else "adapter.conv_in.weight", ())
    behind = "out_conv" if light else "resnets.0.block1"
    widths = [shapes.get(f"adapter.body.{number}.{behind}.weight", (0,))[0] for number in range(count)]
    if len(first) != 4 or first[1] not in _SQUARES or not all(widths) or (light and (count < 2 or widths[-1] != widths[-2])):
        raise ModelError(
            f"{file}: is no T2I-Adapter in one of the three forms that diffusers has; pass one, in its own or diffusers' names"
        )
    colours, square = _SQUARES[first[1]]
    return {
        "_class_name": "T2IAdapter",
        "in_channels": colours,
        "channels": widths[:-1] if light else widths,
        "num_res_blocks": blocks,
        "downscale_factor": square,
        "adapter_type": "light_adapter" if light else "full_adapter_xl" if square == 16 else "full_adapter",
    }
