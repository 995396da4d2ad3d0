"""Image prompts: what a U-Net's IP-Adapters attend to."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Self

from sdrt.arrays import Array, Float
from sdrt.backends.numpy.bicubic import resized

__all__ = ["ImagePrompt", "image_prompts", "names_of_image_prompts"]

_PARTS = ("tokens", "scale", "mask")


@dataclass(frozen=True)
class ImagePrompt:
    """What one adapter attends to: p groups of tokens, each apart from the others.

    Parameters
    ----------
    tokens : float[n, p, length, width]
    scale : float[n, p, attentions]
    mask : float[n, p, H, W]
        One pixel stands for everywhere.
    computed : mapping
        Keys and values, side by side, of those attentions that have them already.
    shares : mapping
        The mask at each size of the sample, by the number of its places: float[n, p, places]; empty where it is everywhere.
    """

    tokens: Float
    scale: Float
    mask: Float
    computed: Mapping[object, Float] = field(default_factory=dict)
    shares: Mapping[int, Float] = field(default_factory=dict)

    @classmethod
    def read(cls, inputs: Mapping[str, Array], adapter: int) -> Self:
        """Take those of one adapter out of a U-Net's inputs."""
        tokens, scale, mask = (inputs[f"ip_adapter_{name}_{adapter}"] for name in _PARTS)
        return cls(tokens, scale, mask)

    def at(self, sizes: Mapping[int, tuple[int, int]]) -> Self:
        """Return the same with its mask at these sizes."""
        if self.mask.shape[2:] == (1, 1):
            return self if (self.mask == 1).all() else replace(self, scale=self.scale * self.mask[:, :, :, 0])
        return replace(self, shares={places: resized(self.mask, *size).reshape(*self.mask.shape[:2], -1) for places, size in sizes.items()})


def image_prompts(inputs: Mapping[str, Array], adapters: int) -> tuple[ImagePrompt, ...]:
    """Take the image prompts of all adapters out of a U-Net's inputs."""
    return tuple(ImagePrompt.read(inputs, k) for k in range(adapters))


def names_of_image_prompts(adapters: int) -> frozenset[str]:
    """Return the names of these inputs."""
    return frozenset(f"ip_adapter_{name}_{k}" for k in range(adapters) for name in _PARTS)
