"""The checkpoint to convert: opened once, and built one component at a time in torch modules."""

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from converter.options import ConvertOptions
from sdrt.files import user_path
from sdrt.models import HubAccess, embedded, open_component, open_model
from sdrt.models.components import ComponentName
from sdrt.models.hub import means_repository
from sdrt.models.lora import AppliedLora, open_lora, with_loras
from sdrt.models.recorded import RecordedModel
from sdrt.models.stored_model import StoredModel

if TYPE_CHECKING:
    from sdrt.backends.torch.adapter import Adapter

__all__ = ["Source", "model_name", "open_controlnet", "open_refiner", "open_source"]

_SNAPSHOT = re.compile(r"[0-9a-f]{40}")


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
        name = self.model.path.name
        return name if self.model.path.parent.name == "snapshots" and _SNAPSHOT.fullmatch(name) else None

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

    Raises
    ------
    SdrtError : see `sdrt.models.open_model` and `sdrt.models.lora.open_lora`
    """
    model = open_model(
        options.model,
        variant=options.variant,
        prediction_type=options.prediction_type,
        pickled=options.pickled,
        hub=HubAccess(options.cache_dir),
    )
    if options.vae is not None:
        own = model.config("vae_decoder")["scaling_factor"]
        vae = open_component(
            options.vae,
            "vae_decoder",
            variant=options.variant,
            scaling_factor=own,
            pickled=options.pickled,
            hub=HubAccess(options.cache_dir),
        )
        model = model.with_override(vae)
    loras = tuple(AppliedLora(open_lora(user_path("lora", file), model), strength) for file, strength in options.loras)
    return Source(model=model, name=model_name(options.model), loras=loras, custom_vae=options.vae is not None)


def open_refiner(options: ConvertOptions, refiner: str) -> Source:
    """Open the refiner, whose U-Net is converted; LoRAs are not merged into it."""
    model = open_model(refiner, variant=options.variant, pickled=options.pickled, hub=HubAccess(options.cache_dir))
    return Source(model=model, name=model_name(refiner))


def open_controlnet(options: ConvertOptions, controlnet: str) -> Source:
    """Open a ControlNet."""
    model = open_component(controlnet, "controlnet", variant=options.variant, pickled=options.pickled, hub=HubAccess(options.cache_dir))
    return Source(model=model, name=model_name(controlnet))


def model_name(model: str) -> str:
    """Return the name that files are called after: a repository's id, or the name of a folder or file. Nothing is opened.

    >>> model_name("CompVis/stable-diffusion-v1-4"), model_name("/models/mine.safetensors")
    ('CompVis/stable-diffusion-v1-4', 'mine')
    """
    place = user_path("model", model)
    if model in embedded() or means_repository(model):
        return model
    place = place.resolve()
    return place.name if place.is_dir() else place.stem


def _add_file(digest: "hashlib._Hash", file: Path) -> None:
    with file.open("rb") as opened:
        for block in _blocks(opened):
            digest.update(block)


def _blocks(opened: Any) -> Iterable[bytes]:
    while block := opened.read(1 << 24):
        yield block
