"""A model that is open: its networks, its tokenizers, and what its configuration says of shapes and conditions."""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sdrt.arrays import Float
from sdrt.backends import PLAIN, Backend, BackendOptions, ComponentOptions
from sdrt.backends.pool import NetworkPool
from sdrt.errors import ConfigError
from sdrt.guidance import Row
from sdrt.images.png import to_pil
from sdrt.models import ComponentName, Model
from sdrt.pipeline.conditions.sizes import Sizes
from sdrt.pipeline.conditions.text import TokenizedPrompts, encode_text, text_encoder_options, tokenize
from sdrt.pipeline.vae_tiling import tiled_decode
from sdrt.records.settings import Settings
from sdrt.tokenizer import ClipTokenizer

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["LoadedModel"]


@dataclass(frozen=True)
class _Latents:
    """What the VAE's configuration says."""

    channels: int
    scaling_factor: float
    shift_factor: float
    scale: int  # pixels a latent
    tile: int  # pixels a side of the pictures that it was trained on


class LoadedModel:
    """A model with its networks behind it, opened when first needed.

    Parameters
    ----------
    model : Model
    backends, options : mapping by component
    keep_loaded : bool
        Whether networks stay open between their uses.
    """

    def __init__(
        self,
        model: Model,
        backends: Mapping[ComponentName, Backend],
        options: Mapping[ComponentName, BackendOptions],
        *,
        keep_loaded: bool = True,
    ) -> None:
        self.model = model
        self.networks = NetworkPool(model, backends, options, keep_loaded=keep_loaded)
        self.unet, vae = model.config("unet"), model.config("vae_decoder")
        self.latents = _Latents(
            channels=vae["latent_channels"],
            scaling_factor=vae["scaling_factor"],
            shift_factor=vae["shift_factor"] or 0.0,
            scale=2 ** (len(vae["block_out_channels"]) - 1),
            tile=vae["sample_size"],
        )
        if self.unet["in_channels"] not in (self.latents.channels, 2 * self.latents.channels + 1):
            raise ConfigError(
                f"{model.path}: the unet takes {self.unet['in_channels']} channels and the vae has {self.latents.channels}; a model takes "
                "as many, or for in-painting the mask and the masked picture's channels too"
            )

    # ---- what kind of model it is

    @property
    def inpaints(self) -> bool:
        """Whether its U-Net sees a mask and a masked picture."""
        return bool(self.unet["in_channels"] != self.latents.channels)

    @property
    def is_xl(self) -> bool:
        """Whether its U-Net is told a pooled text and sizes (SDXL and its refiner)."""
        return bool(self.unet["addition_embed_type"] == "text_time")

    @property
    def guidance_size(self) -> int | None:
        """How many numbers tell its U-Net the guidance scale (LCM); None for a U-Net that is guided by two rows."""
        size = self.unet["time_cond_proj_dim"]
        return None if size is None else int(size)

    def native_size(self) -> tuple[int, int]:
        """Height and width in pixels that the U-Net was trained for."""
        # a configuration without a size is of diffusers' own default model, of 64
        size = 64 if self.unet["sample_size"] is None else self.unet["sample_size"]
        rows, columns = size if isinstance(size, list) else (size, size)
        return rows * self.latents.scale, columns * self.latents.scale

    @cached_property
    def tokenizers(self) -> Mapping[ComponentName, ClipTokenizer]:
        """A tokenizer for each text encoder, in the order in which their states stand side by side."""
        found: dict[ComponentName, ClipTokenizer] = {}
        folders: dict[ComponentName, Path | None] = {
            "text_encoder": self.model.tokenizer_path,
            "text_encoder_2": self.model.tokenizer_2_path,
        }
        for component, folder in folders.items():
            if component in self.model.components:
                pad = self.model.pad_tokens.get(component)
                plain = ClipTokenizer.load(folder, pad) if folder else ClipTokenizer.clip(self.model.pad_tokens[component])
                found[component] = plain.with_embeddings(self.model.embedding_ids) if self.model.embeddings else plain
        return found

    @property
    def drawing_components(self) -> tuple[ComponentName, ...]:
        """The components that drawing needs."""
        encoder: tuple[ComponentName, ...] = ("vae_encoder",) if self.inpaints else ()
        return (*self.tokenizers, "unet", "vae_decoder", *encoder)

    def denoising_networks(self, settings: Settings, rows: Sequence[Row]) -> list[tuple[ComponentName, ComponentOptions]]:
        """Return the networks that a run needs before its pictures are decoded, each with its options, in the order of their use."""
        options = dict.fromkeys(text_encoder_options(settings, row) for row in rows)
        encoder: tuple[ComponentName, ...] = ("vae_encoder",) if self.inpaints else ()
        others = [(component, PLAIN) for component in (*encoder, "unet")]
        return [*((component, each) for component in self.tokenizers for each in options), *others]

    # ---- conditions and pictures

    def tokenize(self, settings: Settings) -> dict[ComponentName, TokenizedPrompts]:
        """Tokenize the prompts for each of the text encoders."""
        return tokenize(self.tokenizers, settings)

    def encode(
        self, prompts: Mapping[ComponentName, TokenizedPrompts], settings: Settings, sizes: Sizes, rows: Sequence[Row]
    ) -> dict[Row, dict[str, Float]]:
        """Encode the prompts for this model's U-Net.

        Returns
        -------
        mapping from each row of the guidance to the U-Net's inputs, one row each
        """
        zeros = self.model.flags.force_zeros_for_empty_prompt
        text = encode_text(self.networks, prompts, settings, rows=rows, raw=self.is_xl, zero_negative=zeros)
        inputs = {"encoder_hidden_states": text.encoder_hidden_states}
        if self.is_xl:
            count, left = divmod(
                self.unet["projection_class_embeddings_input_dim"] - text.pooled.shape[1], self.unet["addition_time_embed_dim"]
            )
            if left:
                raise ConfigError(
                    f"{self.model.path}: the unet cannot take a pooled text of {text.pooled.shape[1]}; a component is another model's"
                )
            inputs |= {"text_embeds": text.pooled, "time_ids": sizes.time_ids(count, rows)}
        return {row: {name: value[k : k + 1] for name, value in inputs.items()} for k, row in enumerate(rows)}

    def decode(self, latents: Float, *, tiled: bool) -> "Generator[Image, None, None]":
        """Decode latents float[n,C,h,w] one at a time, so that a batch needs no more memory than one."""
        facts = self.latents
        with self.networks.using("vae_decoder") as decoder:
            for k in range(len(latents)):
                z = (latents[k : k + 1] / facts.scaling_factor + facts.shift_factor).astype(decoder.float_dtype(), copy=False)
                image = tiled_decode(decoder, z, facts.tile, facts.scale) if tiled else decoder(z=z)["image"]
                yield from to_pil(np.asarray(image))
