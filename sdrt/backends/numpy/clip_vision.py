"""CLIP's tower for pictures, which the image encoder and the safety checker share, and the image encoder."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np

from sdrt.arrays import Array, Float
from sdrt.backends.numpy.clip import ClipLayer
from sdrt.backends.numpy.configs import VisionConfig
from sdrt.backends.numpy.linear import Linear
from sdrt.backends.numpy.norm import LayerNorm
from sdrt.backends.numpy.source import Source
from sdrt.backends.numpy.team import ThreadTeam

__all__ = ["ImageEncoder", "VisionTower"]


@dataclass(frozen=True)
class VisionTower:
    """transformers' CLIPVisionTransformer."""

    patch_size: int
    patch_embedding: Linear
    class_embedding: Float
    position_embedding: Float
    pre_layrnorm: LayerNorm  # spelt so in CLIP's own tensors
    layers: tuple[ClipLayer, ...]
    post_layernorm: LayerNorm

    @classmethod
    def load(cls, source: Source, config: VisionConfig) -> Self:
        width, patch, embeddings = config.hidden_size, config.patch_size, source.at("embeddings")
        places = (config.image_size // patch) ** 2 + 1
        return cls(
            patch_size=patch,
            patch_embedding=Linear.load(embeddings.at("patch_embedding"), config.num_channels, width, bias=False, kernel=(patch, patch)),
            class_embedding=embeddings.take("class_embedding", width),
            position_embedding=embeddings.at("position_embedding").take("weight", places, width),
            pre_layrnorm=LayerNorm.load(source.at("pre_layrnorm"), width, config.layer_norm_eps),
            layers=ClipLayer.load_all(source.at("encoder"), config, causal=False),
            post_layernorm=LayerNorm.load(source.at("post_layernorm"), width, config.layer_norm_eps),
        )

    def __call__(self, team: ThreadTeam, pictures: Float) -> tuple[Float, Float]:
        """float[n, C, S, S] -> the states before the last layer float[n, places, width], and the first place's last one, normed."""
        patches = self._patches(pictures)
        x = np.empty((len(patches), 1 + patches.shape[1], len(self.class_embedding)), patches.dtype)
        x[:, 0] = self.class_embedding
        x[:, 1:] = self.patch_embedding(team, patches)
        x += self.position_embedding
        before = x = self.pre_layrnorm(team, x)
        for layer in self.layers:
            before, x = x, layer(team, x)
        return before, self.post_layernorm(team, x[:, 0])

    def _patches(self, pictures: Float) -> Float:
        """float[n, C, S, S] -> float[n, patches, C * patch * patch]; pixels that make no whole patch are left out."""
        n, channels, size, _ = pictures.shape
        patch, count = self.patch_size, size // self.patch_size
        whole = pictures[:, :, : count * patch, : count * patch].reshape(n, channels, count, patch, count, patch)
        return whole.transpose(0, 2, 4, 1, 3, 5).reshape(n, count * count, -1)


@dataclass(frozen=True)
class ImageEncoder:
    """`pixel_values` float[n, C, S, S] -> `image_embeds`, `penultimate_hidden_state`."""

    vision_model: VisionTower
    visual_projection: Linear

    @classmethod
    def load(cls, source: Source, config: VisionConfig) -> Self:
        projection = Linear.load(source.at("visual_projection"), config.hidden_size, config.projection_dim, bias=False)
        return cls(VisionTower.load(source.at("vision_model"), config), projection)

    def run(self, team: ThreadTeam, inputs: Mapping[str, Array]) -> dict[str, Array]:
        before, pooled = self.vision_model(team, inputs["pixel_values"])
        return {"image_embeds": self.visual_projection(team, pooled), "penultimate_hidden_state": before}
