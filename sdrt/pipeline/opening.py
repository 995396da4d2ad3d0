"""Open the models that one call of ``sdrt.load`` names; of what the Hub has, no more is fetched than the pipeline will open."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from sdrt.backends import Backend
from sdrt.errors import ConfigError
from sdrt.limits import Limits
from sdrt.models import (
    Embedding,
    HubAccess,
    Needs,
    Pickled,
    PredictionType,
    StoredModel,
    is_folder_of_packages,
    open_component,
    open_model,
    read_embedding,
)
from sdrt.models.components import ComponentName
from sdrt.models.components.autoencoder_tiny import is_tiny
from sdrt.models.components.controlnets import check_fit
from sdrt.models.families import family_of, stated_latent_space
from sdrt.models.hub import check_revision, local_embedding, local_ip_adapter

if TYPE_CHECKING:
    from sdrt.models.ip_adapter import IPAdapterFile

__all__ = ["Opening", "wants_packages"]

_CORE_ML = "coreml"
# Stands for the quick autoencoder that is known for a model's latents.
_QUICK = "taesd"
_VAE: frozenset[ComponentName] = frozenset({"vae_decoder", "vae_encoder"})
_IMAGE_ENCODER: frozenset[ComponentName] = frozenset({"image_encoder"})
_SAFETY: frozenset[ComponentName] = frozenset({"safety_checker"})


@dataclass(frozen=True, kw_only=True)
class Opening:
    """How the models of one call are opened.

    Parameters
    ----------
    variant, pickled, limits, mmap
        See `sdrt.load`.
    hub : HubAccess
        Its revision is the model's alone.
    packages : bool or None
        Whether Core ML packages are wanted, see `wants_packages`.
    """

    variant: str | None
    pickled: Pickled
    limits: Limits
    mmap: bool
    hub: HubAccess
    packages: bool | None

    @property
    def others(self) -> HubAccess:
        """How repositories beside the model's are fetched."""
        return replace(self.hub, revision=None)

    def model(
        self,
        model: str | Path,
        *,
        vae: str | Path | None,
        controlnets: Sequence[str | Path],
        safety_checker: bool,
        prediction_type: PredictionType | None,
        own_image_encoder: bool,
        tokenizer: str | Path | None,
        config: str | Path | Mapping[str, object] | None,
    ) -> StoredModel:
        """Open the model, with its autoencoder replaced if another is given, and with its own image encoder if that may be needed.

        Raises
        ------
        ConfigError, ModelError : see `open_model` and `open_component`
        """
        check_revision(self.hub.revision, model)
        without = (frozenset() if safety_checker else _SAFETY) | (frozenset() if vae is None else _VAE)
        without |= frozenset() if own_image_encoder else _IMAGE_ENCODER
        named = tuple(each for each in controlnets if isinstance(each, str))
        opened = open_model(
            model,
            variant=self.variant,
            prediction_type=prediction_type,
            pickled=self.pickled,
            hub=self.hub,
            needs=Needs(packages=self.packages, without=without, controlnets=named, refiner=False),
            tokenizer=tokenizer,
            config=config,
            limits=self.limits,
            mmap=self.mmap,
        )
        if vae is None:
            return opened
        if vae == _QUICK:
            return opened.with_override(self.quick_vae(vae, opened))
        return opened.with_override(self._component(vae, "vae_decoder", _scaling_factor(opened)))

    def quick_vae(self, name: str | Path, model: StoredModel) -> StoredModel:
        """Open a quick autoencoder for a model: ``"taesd"`` is the one that is known for its latents.

        Raises
        ------
        ConfigError : none is known, or what is named is another kind of autoencoder
        ModelError : see `open_component`
        """
        source = _known_quick_vae(model) if name == _QUICK else name
        opened = self._component(source, "vae_decoder")
        if not is_tiny(opened.config("vae_decoder")):
            raise ConfigError(f"{opened.path}: preview_vae must be a quick autoencoder (AutoencoderTiny), got a VAE; pass it as vae")
        return opened

    def refiner(self, model: str | Path) -> StoredModel:
        """Open the model of a refiner; the base model decodes and judges.

        Raises
        ------
        ConfigError, ModelError : see `open_model`
        """
        needs = Needs(packages=self.packages, without=_SAFETY | _VAE | _IMAGE_ENCODER, controlnets=())
        stored = open_model(
            model, variant=self.variant, pickled=self.pickled, hub=self.others, needs=needs, limits=self.limits, mmap=self.mmap
        )
        return stored.as_refiner() if is_folder_of_packages(stored) else stored

    def controlnet(self, name: str | Path, model: StoredModel) -> StoredModel:
        """Open a ControlNet for a model; with Core ML packages, one of its folder or a package.

        Raises
        ------
        ConfigError : it does not fit the model
        ModelError : see `open_component`
        """
        if is_folder_of_packages(model):
            from sdrt.models.coreml.component import find_controlnet

            return find_controlnet(name, model)
        controlnet = self._component(name, "controlnet")
        channels = model.config("vae_decoder")["latent_channels"]
        check_fit(controlnet.config("controlnet"), model.config("unet"), channels, controlnet.path)
        return controlnet

    def t2i_adapter(self, name: str | Path, model: StoredModel) -> StoredModel:
        """Open a T2I-Adapter for a model.

        Raises
        ------
        ConfigError : the model is of Core ML packages
        ModelError : see `open_component`
        """
        if is_folder_of_packages(model):
            raise ConfigError(f"{model.path}: holds Core ML packages, whose U-Net takes no T2I-Adapter; pass its source model")
        return self._component(name, "t2i_adapter")

    def ip_adapter(self, source: str | Path) -> "IPAdapterFile":
        """Open an IP-Adapter.

        Raises
        ------
        ConfigError, ModelError : see `IPAdapterFile`
        """
        from sdrt.models.ip_adapter import IPAdapterFile

        file = local_ip_adapter(source, self.others, self.pickled)
        return IPAdapterFile(file, file.name, pickled=self.pickled, allowed=self.limits, mmap=self.mmap)

    def image_encoder(self, source: str | Path) -> StoredModel:
        """Open an image encoder.

        Raises
        ------
        ConfigError, ModelError : see `open_component`
        """
        return self._component(source, "image_encoder")

    def embeddings(self, embeddings: Mapping[str, str | Path] | Sequence[str | Path | Embedding]) -> list[Embedding]:
        """Read textual inversions.

        Raises
        ------
        ConfigError, ModelError : see `read_embedding`
        """
        if isinstance(embeddings, Mapping):
            return [read_embedding(local_embedding(file, self.others), token) for token, file in embeddings.items()]
        return [each if isinstance(each, Embedding) else read_embedding(local_embedding(each, self.others)) for each in embeddings]

    def _component(self, source: str | Path, component: ComponentName, scaling_factor: float | None = None) -> StoredModel:
        return open_component(
            source,
            component,
            variant=self.variant,
            scaling_factor=scaling_factor,
            pickled=self.pickled,
            hub=self.others,
            limits=self.limits,
            mmap=self.mmap,
        )


def wants_packages(backend: str | Backend | Mapping[str, str | Backend] | None) -> bool | None:
    """Return whether a choice of backends wants Core ML packages; None where it runs what there is."""
    chosen = backend.get("unet") if isinstance(backend, Mapping) else backend
    if chosen is None:
        return None
    if isinstance(chosen, str):
        return chosen == _CORE_ML
    return True if getattr(chosen, "name", None) == _CORE_ML else None


def _known_quick_vae(model: StoredModel) -> str:
    stated = stated_latent_space(model)
    family = family_of(model)
    unet = model.config(family.denoiser)
    known = stated or family.latent_space(unet)
    if known is None or known.quick_vae is None:
        raise ConfigError(
            f"{model.path}: no quick autoencoder is known for its latents; pass the path or the repository of one, not {_QUICK!r}"
        )
    return known.quick_vae


def _scaling_factor(model: StoredModel) -> float:
    """Return the factor of the model's own VAE, for a single-file VAE that replaces it and does not state one."""
    from sdrt.models import SingleFileModel

    if isinstance(model, SingleFileModel):
        return model.release.scaling_factor
    return float(model.config("vae_decoder")["scaling_factor"])
