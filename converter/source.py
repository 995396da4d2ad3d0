"""The checkpoint to convert: opened once, and built one component at a time in torch modules."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from converter.options import ConvertOptions
from sdrt.errors import ConversionError
from sdrt.files import user_path
from sdrt.models import HubAccess, Needs, embedded, open_component, open_model
from sdrt.models.components import COMPONENTS, ComponentName
from sdrt.models.components.autoencoder_tiny import is_tiny
from sdrt.models.hub import check_revision, commit_of, local_lora, means_repository, parse_address
from sdrt.models.lora import ADAPTED, AppliedLora, Lora, open_lora, with_loras
from sdrt.models.recorded import RecordedModel
from sdrt.models.stored_model import StoredModel

if TYPE_CHECKING:
    from sdrt.backends.torch.adapter import Adapter

__all__ = ["Source", "model_name", "open_controlnet", "open_refiner", "open_source"]

_VAE: frozenset[ComponentName] = frozenset({"vae_decoder", "vae_encoder"})


@dataclass(frozen=True, kw_only=True)
class Source:
    """A model or a ControlNet, with everything applied to it before its conversion.

    Parameters
    ----------
    model : StoredModel
    name : str
        The name that files are called after: a repository's id, or the name of a folder or file.
    loras : tuple of AppliedLora
    custom_vae : bool
        Whether the VAE replaces the model's own.
    """

    model: StoredModel
    name: str
    loras: tuple[AppliedLora, ...] = ()
    custom_vae: bool = False

    @property
    def is_xl(self) -> bool:
        """Whether the model is a Stable Diffusion XL model, or its refiner."""
        return "text_encoder_2" in self.model.components

    @property
    def revision(self) -> str | None:
        """The commit of the Hub's repository that the files belong to; None for a local folder."""
        return commit_of(self.model.path)

    def config(self, component: ComponentName) -> Mapping[str, Any]:
        """Return a component's configuration, with defaults filled in."""
        return self.model.config(component)

    def adapter(self, component: ComponentName) -> "Adapter":
        """Build a component in float32 with its LoRAs merged, as `sdrt.backends.torch` runs it; the caller owns it.

        Raises
        ------
        ModelError, ConfigError : see `sdrt.backends.torch.construction.open_module`; or tensors that have no place in the network
        """
        from sdrt.backends.torch.construction import open_module

        recorded = RecordedModel(with_loras(self.model, self.loras))
        adapter = open_module(component, recorded.as_model())
        recorded.check()
        return adapter

    def digest(self, component: ComponentName) -> str:
        """Return a short text that identifies a component's weights and configuration."""
        sha256 = hashlib.sha256(repr(sorted(self.config(component).items())).encode())
        for file in sorted(self.model.tensors(component).files):
            _add_file(sha256, file)
        for applied in self.loras:
            if component in applied.lora.deltas:
                sha256.update(repr(applied.strength).encode())
                _add_file(sha256, applied.lora.file)
        return sha256.hexdigest()[:32]


def open_source(options: ConvertOptions) -> Source:
    """Open the model that the options name, with its VAE replaced and its LoRAs matched as they request.

    Of a repository of the Hub, the weights of the components that will be converted are fetched, and those that LoRAs are matched with.

    Raises
    ------
    SdrtError : see `sdrt.models.open_model` and `sdrt.models.lora.open_lora`
    """
    check_revision(options.revision, options.model)
    model = open_model(
        options.model,
        variant=options.variant,
        prediction_type=options.prediction_type,
        pickled=options.pickled,
        hub=options.hub,
        needs=Needs(packages=False, without=frozenset(COMPONENTS) - _converted(options)),
    )
    others = replace(options.hub, revision=None)
    if options.vae is not None:
        own = model.config("vae_decoder")["scaling_factor"]
        vae = open_component(options.vae, "vae_decoder", variant=options.variant, scaling_factor=own, pickled=options.pickled, hub=others)
        model = model.with_override(vae)
    _check_autoencoder(model, options)
    loras = tuple(AppliedLora(_open_lora(file, model, others), strength) for file, strength in options.loras)
    return Source(model=model, name=model_name(options.model), loras=loras, custom_vae=options.vae is not None)


def _check_autoencoder(model: StoredModel, options: ConvertOptions) -> None:
    """Refuse a quick autoencoder, whose encoder gives latents where packages give moments, before anything is converted."""
    if _VAE.isdisjoint(options.parts) or "vae_decoder" not in model.components or not is_tiny(model.config("vae_decoder")):
        return
    raise ConversionError(
        f"{model.where('vae_decoder')}: the autoencoder of packages must be a VAE (AutoencoderKL), got a quick one (AutoencoderTiny); "
        "convert without it, and pass it as sdrt.load(packages, vae=...), which runs it beside them"
    )


def _converted(options: ConvertOptions) -> frozenset[ComponentName]:
    """Return the components of the model itself whose weights will be read."""
    needed: set[ComponentName] = set(ADAPTED) if options.loras else set()
    for component in COMPONENTS:
        # both text encoders are one part; the halves of an autoencoder are one file
        if component.removesuffix("_2") in options.parts:
            needed.add(component)
    return frozenset(needed if options.vae is None else needed - _VAE)


def _open_lora(file: str, model: StoredModel, hub: HubAccess) -> Lora:
    path, name = local_lora(file, hub)
    return open_lora(user_path("lora", path), model, name)


def open_refiner(options: ConvertOptions, refiner: str) -> Source:
    """Open the refiner, whose U-Net is converted; LoRAs are not merged into it."""
    needs = Needs(packages=False, without=frozenset(COMPONENTS) - {"unet"})
    hub = replace(options.hub, revision=None)
    model = open_model(refiner, variant=options.variant, pickled=options.pickled, hub=hub, needs=needs)
    return Source(model=model, name=model_name(refiner))


def open_controlnet(options: ConvertOptions, controlnet: str) -> Source:
    """Open a ControlNet."""
    hub = replace(options.hub, revision=None)
    model = open_component(controlnet, "controlnet", variant=options.variant, pickled=options.pickled, hub=hub)
    return Source(model=model, name=model_name(controlnet))


def model_name(model: str) -> str:
    """Return the name that files are called after: a repository's id, or the name of a folder or file. Nothing is opened.

    >>> model_name("CompVis/stable-diffusion-v1-4"), model_name("/models/mine.safetensors")
    ('CompVis/stable-diffusion-v1-4', 'mine')
    >>> model_name("someone/merges@v2::mine.safetensors")
    'mine'
    """
    place = user_path("model", model)
    if model in embedded():
        return model
    if means_repository(model) and (address := parse_address(model)):
        return address.repo_id if address.file is None else PurePosixPath(address.file).stem
    place = place.resolve()
    return place.name if place.is_dir() else place.stem


def _add_file(digest: "hashlib._Hash", file: Path) -> None:
    with file.open("rb") as opened:
        for block in _blocks(opened):
            digest.update(block)


def _blocks(opened: Any) -> Iterable[bytes]:
    while block := opened.read(1 << 24):
        yield block
