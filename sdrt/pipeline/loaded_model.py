"""A model with its networks and tokenizers: encode prompts and decode latents as its family describes."""

import copy
from collections.abc import Generator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Self

from sdrt.arrays import Float
from sdrt.backends import PLAIN, Backend, BackendOptions, ComponentOptions
from sdrt.backends.pool import NetworkPool, OnCall
from sdrt.errors import ConfigError, MissingFileError, ModelError
from sdrt.exact.mathematics import Functions
from sdrt.guidance import Row, text_rows
from sdrt.guidance.rows import NEGATIVE
from sdrt.limits import DEFAULT_LIMITS, Limits
from sdrt.models import ComponentName, Model
from sdrt.models.components.autoencoder_tiny import is_tiny
from sdrt.models.families import LatentFormat, LatentSpace, MicroConditions, family_of, stated_latent_space
from sdrt.models.lora import ADAPTED, AppliedLora, identity_of, with_loras
from sdrt.option_kinds import OPTION_KINDS
from sdrt.pipeline.conditions.prompt_texts import RowTexts
from sdrt.pipeline.conditions.text import TokenizedPrompts, encode_text, groups_of_rows, text_encoder_options, tokenize
from sdrt.pipeline.decoding import Decoder
from sdrt.pipeline.unet_options import UNetOptions
from sdrt.records.settings import Settings
from sdrt.tokenizer import ClipTokenizer
from sdrt.values import read_values

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["LoadedModel"]


class LoadedModel:
    """Run a model's networks, opened when first needed.

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
        self.family = family_of(model)
        self.latent_format = LatentFormat.read(model.config("vae_decoder"))
        self.defaults = read_values(f"{model.path}: default ", model.defaults, OPTION_KINDS, "correct its sdrt.json", ModelError)
        self._denoiser = model.config(self.family.denoiser)
        try:
            self.inpaints = self.family.inpaints(self._denoiser, self.latent_format)
        except ConfigError as error:
            raise ConfigError(f"{model.path}: {error}") from None

    def with_loras(self, loras: Sequence[AppliedLora], functions: Functions) -> Self:
        """Return the same model with LoRAs merged, in place of those that were; networks that they leave alone are shared."""
        # for the copy too, which keeps what is cached
        _ = self.tokenizers
        view = copy.copy(self)
        view.model = with_loras(self.model, loras, functions)
        view.networks = self.networks.merging(view.model, {component: identity_of(loras, component) for component in ADAPTED})
        return view

    def watched(self, on_call: OnCall) -> Self:
        """Return the same model, whose networks tell of their calls."""
        # for the copy too, which keeps what is cached
        _ = self.tokenizers
        view = copy.copy(self)
        view.networks = self.networks.watched(on_call)
        return view

    # ---- what kind of model it is

    @property
    def guidance_size(self) -> int | None:
        """The length of the guidance embedding (LCM); None for a denoiser that is guided by rows."""
        return self.family.guidance_size(self._denoiser)

    @cached_property
    def latent_space(self) -> LatentSpace | None:
        """What is known of the denoiser's latents: by the model's own ``sdrt.json``, else by its family; None where nothing is."""
        if stated := stated_latent_space(self.model):
            return stated
        # means and deviations make another scale of the same latents
        return None if self.latent_format.means else self.family.latent_space(self._denoiser)

    @property
    def has_posterior(self) -> bool:
        """Whether the encoder gives the moments of a posterior, from which latents are drawn; a quick one gives the latents themselves."""
        return not is_tiny(self.model.config("vae_decoder"))

    def native_size(self) -> tuple[int, int]:
        """Return the height and width in pixels that the denoiser was trained on."""
        return self.family.native_size(self._denoiser, self.latent_format)

    @cached_property
    def tokenizers(self) -> Mapping[ComponentName, ClipTokenizer]:
        """A tokenizer for each of the family's text encoders, in its order."""
        model = self.model
        folders: dict[ComponentName, Path | None] = {"text_encoder": model.tokenizer_path, "text_encoder_2": model.tokenizer_2_path}
        tokenizers: dict[ComponentName, ClipTokenizer] = {}
        for component in (encoder.component for encoder in self.family.text_encoders):
            if component not in model.components:
                there = ", ".join(model.components)
                raise MissingFileError(
                    f"{model.path}: must have a {component}, as {self.family.name} has, got {there}; fetch the model again"
                )
            folder, pad = folders[component], model.pad_tokens.get(component)
            plain = ClipTokenizer.load(folder, pad, limits=model.allowed) if folder else ClipTokenizer.clip(model.pad_tokens[component])
            self._check_vocabulary(component, plain)
            tokenizers[component] = plain.with_embeddings(model.embedding_ids(component)) if model.embeddings else plain
        return tokenizers

    def _check_vocabulary(self, component: ComponentName, tokenizer: ClipTokenizer) -> None:
        """Check that a text encoder knows the tokens around every prompt, before anything runs."""
        learnt = sum(map(len, self.model.embedding_ids(component).values()))
        known = self.model.config(component)["vocab_size"] - learnt
        if max(tokenizer.bos_token_id, tokenizer.eos_token_id) >= known:
            raise ModelError(
                f"{self.model.where(component)}: the tokenizer's begin and end must be among the {known} tokens that this {component} "
                f"knows, got ids {tokenizer.bos_token_id} and {tokenizer.eos_token_id}; pass the tokenizer that it was made with "
                "(tokenizer=FOLDER for Core ML packages)"
            )

    @property
    def drawing_components(self) -> tuple[ComponentName, ...]:
        """The components that drawing needs."""
        encoder: tuple[ComponentName, ...] = ("vae_encoder",) if self.inpaints else ()
        return (*self.tokenizers, self.family.denoiser, "vae_decoder", *encoder)

    def denoising_networks(
        self, settings: Settings, rows: Sequence[Row], unet_options: UNetOptions, *, encodes: bool
    ) -> list[tuple[ComponentName, ComponentOptions]]:
        """Return the networks that a run needs before it decodes, each with its options, in the order of their use.

        Parameters
        ----------
        settings : Settings
        rows : sequence of Row
            All kinds of rows of the run.
        unet_options : UNetOptions
        encodes : bool
            Whether the run encodes pictures.
        """
        options = dict.fromkeys(text_encoder_options(settings, row) for row in text_rows(rows))
        networks = [(component, each) for component in self.tokenizers for each in options]
        if encodes:
            networks.append(("vae_encoder", PLAIN))
        return [*networks, *((self.family.denoiser, each) for each in unet_options.distinct(rows))]

    # ---- conditions and pictures

    def tokenize(
        self, texts: Sequence[RowTexts], settings: Settings, limits: Limits = DEFAULT_LIMITS
    ) -> tuple[Mapping[ComponentName, TokenizedPrompts], ...]:
        """Tokenize the texts of images, within these limits, for each of the text encoders."""
        return tokenize(self.tokenizers, texts, settings, limits)

    def encode(
        self,
        prompts: Mapping[ComponentName, TokenizedPrompts],
        settings: Settings,
        micro: MicroConditions,
        rows: Sequence[Row],
    ) -> Mapping[Row, Mapping[str, Float]]:
        """Encode the texts of one image for this model's denoiser.

        Parameters
        ----------
        prompts : mapping
            One that `tokenize` returned.
        settings : Settings
        micro : MicroConditions
        rows : sequence of Row
            Those that have a text of their own.

        Returns
        -------
        a mapping from each row to the denoiser's inputs, one row each

        Raises
        ------
        ConfigError : the text encoders do not fit the denoiser
        """
        # Apple's package encodes it whatever the model says
        zeroed = self.model.flags.force_zeros_for_empty_prompt and settings.compat != "apple"
        empty_negative = zeroed and all(NEGATIVE in prompt.blank for prompt in prompts.values())
        encoded: dict[Row, dict[str, Float]] = {}
        for group in groups_of_rows(prompts, rows, settings):
            texts = [
                encode_text(self.networks, encoder, prompts[encoder.component], settings, rows=group)
                for encoder in self.family.text_encoders
            ]
            try:
                inputs = self.family.conditions(self._denoiser, texts, micro, group, zeroed=(NEGATIVE,) if empty_negative else ())
            except ConfigError as error:
                raise ConfigError(f"{self.model.path}: {error}") from None
            encoded |= {row: {name: value[k : k + 1] for name, value in inputs.items()} for k, row in enumerate(group)}
        return encoded

    def decode(self, latents: Float, *, tiled: bool) -> "Generator[Image, None, None]":
        """Decode latents float[n,C,h,w] one at a time, see `Decoder`."""
        return Decoder(self.networks, self.latent_format)(latents, tiled=tiled)
