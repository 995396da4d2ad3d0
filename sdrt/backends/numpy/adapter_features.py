"""Features of T2I-Adapters, added on the way down of a U-Net."""

from collections.abc import Mapping, Sequence

from sdrt.arrays import Array, Float
from sdrt.models.components.feature_places import check_feature_size

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
    check_feature_size(place, feature.shape[1:3], x.shape[1:3])
    x += feature
