"""Features of T2I-Adapters, added on the way down of a U-Net."""

from collections.abc import Mapping, Sequence

from sdrt.arrays import Array, Float
from sdrt.errors import ArrayContractError

__all__ = ["adapter_features", "add_feature"]


def adapter_features(inputs: Mapping[str, Array]) -> list[Float]:
    """Return the features among a U-Net's inputs, by their numbers: float[n, channels, height, width] each."""
    numbered = (f"adapter_feature_{number}" for number in range(len(inputs)))
    return [inputs[name] for name in numbered if name in inputs]


def add_feature(x: Float, features: Sequence[Float], place: int) -> None:
    """Add the feature of this place, if there is one, to float[n, h, w, channels], in place.

    Raises
    ------
    ArrayContractError : its size is another one
    """
    if place >= len(features):
        return
    feature = features[place].transpose(0, 2, 3, 1)
    if feature.shape[1:3] != x.shape[1:3]:
        (height, width), got = x.shape[1:3], feature.shape[1:3]
        raise ArrayContractError(
            f"unet input: adapter_feature_{place} is {got[0]}x{got[1]} pixels, but is added to {height}x{width}; "
            "run the T2I-Adapter on a picture of this sample's size"
        )
    x += feature
