"""Networks that enlarge pictures: RRDBNet (ESRGAN, Real-ESRGAN) and SRVGGNetCompact (Real-ESRGAN's small models)."""

from collections.abc import Mapping
from typing import Any

from sdrt.arrays import Signature, TensorSpec
from sdrt.errors import ConfigError
from sdrt.limits import Limits
from sdrt.models.components.keys import COUNT, Key, check_layers, read_keys
from sdrt.models.components.record import Component
from sdrt.values import Choice, Integer

__all__ = ["CHANNELS", "UPSCALER", "is_compact", "radius_of", "scale_of"]

CHANNELS = 3  # of pictures

_CONVS_A_BLOCK = 15  # of a residual-in-residual block: three dense blocks of five
_CLASSES = ("RRDBNet", "SRVGGNetCompact")

# The arguments of the classes of Real-ESRGAN's code, but for the scale of an RRDBNet: there it is two upsamplings after an unshuffle of the
# input, and files of ESRGAN have more of the one or none of the other. Source: XPixelGroup/BasicSR 1.4.2, archs/rrdbnet_arch.py and
# archs/srvgg_arch.py.
_RRDB: Mapping[str, Key] = {
    "num_feat": Key(COUNT, 64),
    "num_block": Key(COUNT, 23),
    "num_grow_ch": Key(COUNT, 32),
    "unshuffle": Key(Choice(1, 2, 4), 1),
    "upsamplings": Key(Integer(0, 4), 2),
}
_COMPACT: Mapping[str, Key] = {
    "num_feat": Key(COUNT, 64),
    "num_conv": Key(Integer(0, 2**20), 16),
    "upscale": Key(Integer(1, 16), 4),
    "act_type": Key(Choice("prelu", "relu", "leakyrelu"), "prelu"),
}


def is_compact(config: Mapping[str, Any]) -> bool:
    """Return whether a configuration is of the compact form."""
    return bool(config["_class_name"] == "SRVGGNetCompact")


def scale_of(config: Mapping[str, Any]) -> int:
    """Return how many times as wide and as high a network makes a picture.

    >>> scale_of({"_class_name": "RRDBNet", "upsamplings": 2, "unshuffle": 2})
    2
    """
    return int(config["upscale"] if is_compact(config) else 2 ** config["upsamplings"] // config["unshuffle"])


def radius_of(config: Mapping[str, Any]) -> int:
    """Return how many pixels away from a pixel of the input the results of it can be: that wide is what a tile must see around it."""
    if is_compact(config):
        return int(config["num_conv"]) + 2
    # behind the upsamplings a pixel is a half, a quarter, ... of one: four of them reach less than four pixels
    return int((_CONVS_A_BLOCK * config["num_block"] + 2 + 4) * config["unshuffle"])


def _complete(config: Mapping[str, Any], where: str, limits: Limits) -> dict[str, Any]:
    kind = {"_class_name": Key(Choice(*_CLASSES), "RRDBNet")}
    compact = is_compact(read_keys(kind, config, where))
    values = read_keys(kind | dict(_COMPACT if compact else _RRDB), config, where)
    check_layers(values, ("num_conv",) if compact else ("num_block",), limits, where)
    if not compact and 2 ** values["upsamplings"] < values["unshuffle"]:
        raise ConfigError(
            f"{where}: the upsamplings must undo the unshuffle by {values['unshuffle']} at least, got {values['upsamplings']}; "
            "pass a model that does not make pictures smaller"
        )
    return values


def _contract(config: Mapping[str, Any], dtype: str) -> Signature:  # noqa: ARG001 -- the same for every configuration
    pictures = (None, CHANNELS, None, None)
    return Signature(inputs=(TensorSpec("image", dtype, pictures),), outputs=(TensorSpec("upscaled", dtype, pictures),))


UPSCALER = Component(
    name="upscaler",
    folder="upscaler",
    classes=_CLASSES,
    keys=_complete,
    contract=_contract,
    backends=("numpy", "torch"),
)
