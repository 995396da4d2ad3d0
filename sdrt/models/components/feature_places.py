"""The places of a U-Net's way down where features of T2I-Adapters are added, and the inputs by which it takes them."""

from collections.abc import Mapping
from typing import Any

from sdrt.arrays import TensorSpec
from sdrt.errors import ArrayContractError

__all__ = ["ADAPTER_FEATURES", "check_feature_size", "feature_inputs", "feature_places"]

# The key of a U-Net that takes features: how many. No file has it; a view of the model does.
ADAPTER_FEATURES = "num_adapter_features"


def feature_places(config: Mapping[str, Any]) -> tuple[tuple[int, int], ...]:
    """Return (channels, number of halvings) of each place: one at each level, and one in the middle where there is one.

    At a level with transformers it is the output of the last of them; at another, what the level passes on, halved where it halves.

    >>> types = ["DownBlock2D", "CrossAttnDownBlock2D"]
    >>> feature_places({"block_out_channels": [320, 640], "down_block_types": types, "mid_block_type": "UNetMidBlock2DCrossAttn"})
    ((320, 1), (640, 1), (640, 1))

    Source: diffusers 0.42.1 ``UNet2DConditionModel.forward``, ``down_intrablock_additional_residuals``.
    """
    channels, last = config["block_out_channels"], len(config["block_out_channels"]) - 1
    halving = ["CrossAttn" not in kind for kind in config["down_block_types"]]
    places = [(width, min(level + halving[level], last)) for level, width in enumerate(channels)]
    middle = [(channels[-1], last)] if config["mid_block_type"] is not None else []
    return (*places, *middle)


def feature_inputs(config: Mapping[str, Any], dtype: str) -> tuple[TensorSpec, ...]:
    """Return the inputs of a U-Net for features; none where its configuration does not have the key."""
    widths = [width for width, _ in feature_places(config)][: config.get(ADAPTER_FEATURES) or 0]
    return tuple(TensorSpec(f"adapter_feature_{number}", dtype, (None, width, None, None)) for number, width in enumerate(widths))


def check_feature_size(number: int, got: tuple[int, ...], wanted: tuple[int, ...]) -> None:
    """Check the height and width of a feature against those of what it is added to.

    Raises
    ------
    ArrayContractError : they are others
    """
    if got != wanted:
        raise ArrayContractError(
            f"unet input: adapter_feature_{number} is {got[0]}x{got[1]} pixels, but is added to {wanted[0]}x{wanted[1]}; "
            "run the T2I-Adapter on a picture of this sample's size"
        )
