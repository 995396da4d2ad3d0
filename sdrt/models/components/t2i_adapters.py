"""T2I-Adapters: small networks that read a picture once, and whose features are added on the way down of a U-Net.

Source: Mou et al. 2023 (arXiv:2302.08453); diffusers 0.42.1 ``models/adapter.py``, ``models/unets/unet_2d_condition.py``.
"""

from collections.abc import Mapping
from typing import Any

from sdrt.arrays import Signature, TensorSpec
from sdrt.errors import ConfigError
from sdrt.limits import Limits
from sdrt.models.components.feature_places import feature_places
from sdrt.models.components.keys import COUNT, Key, check_layers, list_for_levels, read_keys
from sdrt.models.components.record import Component
from sdrt.values import Choice, Integer

__all__ = ["T2I_ADAPTER", "count_taken", "feature_sizes"]

_TYPES = Choice("full_adapter", "full_adapter_xl", "light_adapter")

# Of T2IAdapter in diffusers 0.42.1.
_KEYS: Mapping[str, Key] = {
    "in_channels": Key(Integer(1, 3, whole_floats=True), 3),
    "channels": Key(list_for_levels(), [320, 640, 1280, 1280]),
    "num_res_blocks": Key(COUNT, 2),
    "downscale_factor": Key(Integer(1, 256, whole_floats=True), 8),
    "adapter_type": Key(_TYPES, "full_adapter"),
}


def feature_sizes(config: Mapping[str, Any]) -> tuple[tuple[int, int], ...]:
    """Return (channels, pixels of the picture for one value, in each direction) of each feature.

    >>> feature_sizes({"adapter_type": "full_adapter", "channels": [320, 640], "downscale_factor": 8})
    ((320, 8), (640, 16))
    >>> feature_sizes({"adapter_type": "full_adapter_xl", "channels": [320, 640, 1280, 1280], "downscale_factor": 16})
    ((320, 16), (640, 16), (1280, 32), (1280, 32))
    """
    channels, pixels = list(config["channels"]), int(config["downscale_factor"])
    if config["adapter_type"] == "full_adapter_xl":
        return tuple((width, pixels * (2 if level >= 2 else 1)) for level, width in enumerate(channels))
    widths = channels + channels[-1:] if config["adapter_type"] == "light_adapter" else channels
    return tuple((width, pixels * 2**level) for level, width in enumerate(widths))


def count_taken(adapter: Mapping[str, Any], unet: Mapping[str, Any], latent_pixels: int, where: object) -> int:
    """Check that the features of a T2I-Adapter have the sizes of the places in a U-Net, and return how many of them the U-Net takes.

    Parameters
    ----------
    adapter, unet : mapping
        Complete configurations.
    latent_pixels : int
        Pixels of the picture for one latent, in each direction.
    where : path or str
        The adapter's place, for messages.

    Raises
    ------
    ConfigError : it was made for another U-Net
    """
    sizes = feature_sizes(adapter)
    places = [(width, latent_pixels << halvings) for width, halvings in feature_places(unet)]
    *down, middle = places if unet["mid_block_type"] is not None else [*places, (0, 0)]
    for number, (own, place) in enumerate(zip(sizes, down, strict=False)):
        if own != place:
            raise ConfigError(
                f"{where}: feature {number} of a T2I-Adapter must have {place[0]} channels, one value for {place[1]}x{place[1]} pixels, "
                f"as its model has, got {own[0]} for {own[1]}x{own[1]}; pass an adapter of the same family"
            )
    # diffusers adds the next one in the middle where it has that size, and passes over the others
    return min(len(sizes), len(down) + (sizes[len(down) :][:1] == (middle,)))


def _complete(config: Mapping[str, Any], where: str, limits: Limits) -> dict[str, Any]:
    values = read_keys(_KEYS, config, where)
    channels, kind = values["channels"], values["adapter_type"]
    if values["in_channels"] == 2:
        raise ConfigError(f"{where}: in_channels must be 3, or 1 for pictures in greys, got 2; correct the file")
    if kind == "full_adapter_xl" and len(set(channels[2:])) > 1:
        raise ConfigError(f"{where}: channels of a full_adapter_xl must be equal from the third on, got {channels}; correct the file")
    if kind == "light_adapter" and min(channels) < 4:
        raise ConfigError(f"{where}: channels of a light_adapter must be 4 or more, got {channels}; correct the file")
    check_layers({"block_out_channels": channels, **values}, ("num_res_blocks",), limits, where)
    return values


def _contract(config: Mapping[str, Any], dtype: str) -> Signature:
    sizes = enumerate(feature_sizes(config))
    return Signature(
        inputs=(TensorSpec("image", dtype, (None, config["in_channels"], None, None)),),
        outputs=tuple(TensorSpec(f"feature_{number}", dtype, (None, width, None, None)) for number, (width, _) in sizes),
    )


T2I_ADAPTER = Component(
    name="t2i_adapter",
    folder="adapter",
    classes=("T2IAdapter",),
    keys=_complete,
    contract=_contract,
    roots=("adapter.",),
    backends=("numpy", "torch"),
)
