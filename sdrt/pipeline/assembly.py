"""The object that :func:`sdrt.load` builds: a model, its ControlNets, its refiner, and the settings for decoding and checking pictures."""

from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from sdrt.arrays import Float, Numerics
from sdrt.backends.pool import NetworkPool
from sdrt.errors import SdrtError
from sdrt.limits import DEFAULT_LIMITS, Limits
from sdrt.models import ComponentName, Model
from sdrt.models.fingerprint import fingerprint
from sdrt.pipeline.loaded_model import LoadedModel
from sdrt.pipeline.remarks import RemarkLog
from sdrt.pipeline.safety_checker import blacken, flag

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["Assembly"]


@dataclass(frozen=True, eq=False, kw_only=True)
class Assembly:
    """Hold the models and networks of a pipeline; networks are opened when first needed.

    Parameters
    ----------
    base : LoadedModel
    refiner : LoadedModel or None
        An SDXL refiner, which takes over near the end.
    controlnets : tuple of NetworkPool
        Each with the one component ``controlnet``.
    backends : mapping from component to the backend's name
    numerics : "float32" or "float64"
    vae_tiling : bool
        Whether pictures larger than the autoencoder was trained for are decoded tile by tile.
    safety_checker : bool
        Whether the model's safety checker inspects every picture.
    limits : Limits
        The most that a call may ask for.
    notes : mapping
        How a backend was set up, for the record of every picture.
    remark_log : RemarkLog
        Where the pipeline's remarks are told, each once.
    """

    base: LoadedModel
    backends: Mapping[str, str]
    numerics: Numerics
    refiner: LoadedModel | None = None
    controlnets: tuple[NetworkPool, ...] = ()
    vae_tiling: bool = False
    safety_checker: bool = False
    limits: Limits = DEFAULT_LIMITS
    notes: Mapping[str, str] = field(default_factory=dict)
    remark_log: RemarkLog = field(default_factory=RemarkLog)

    @property
    def models(self) -> tuple[LoadedModel, ...]:
        """The base model, and the refiner where there is one."""
        return (self.base,) if self.refiner is None else (self.base, self.refiner)

    @property
    def pools(self) -> tuple[NetworkPool, ...]:
        """All networks."""
        return (*(model.networks for model in self.models), *self.controlnets)

    @cached_property
    def weights(self) -> Mapping[str, str]:
        """Fingerprints of each component's weights, for the record. Unreadable weights are left out; opening them raises the error."""
        marks = dict(_fingerprints(self.base.model, self.base.drawing_components))
        if self.refiner is not None:
            components = [each for each in self.refiner.drawing_components if each != "vae_decoder"]
            marks |= {f"refiner.{component}": mark for component, mark in _fingerprints(self.refiner.model, components)}
        for k, controlnet in enumerate(self.controlnets):
            marks |= {f"{component}.{k}": mark for component, mark in _fingerprints(controlnet.model, ["controlnet"])}
        return marks

    @property
    def remarks(self) -> dict[str, str]:
        """What the models assumed, and what opening their networks found so far."""
        remarks = dict(self.base.model.remarks)
        if self.refiner is not None:
            remarks |= {f"refiner: {topic}": text for topic, text in self.refiner.model.remarks.items()}
        for k, controlnet in enumerate(self.controlnets):
            remarks |= {f"controlnet {k}: {topic}": text for topic, text in controlnet.model.remarks.items()}
        return remarks

    def load(self) -> None:
        """Open every network that drawing needs."""
        for component in self.base.drawing_components:
            self.base.networks.get(component)
        if self.refiner is not None:
            # the base model decodes the refiner's latents
            for component in self.refiner.drawing_components:
                if component != "vae_decoder":
                    self.refiner.networks.get(component)
        for controlnet in self.controlnets:
            controlnet.get("controlnet")

    def decode(self, latents: Float) -> "Generator[Image, None, None]":
        """Decode latents float[n,C,h,w] to pictures, one at a time."""
        return self.base.decode(latents, tiled=self.vae_tiling)

    def check(self, images: "list[Image]") -> "tuple[list[Image], tuple[bool, ...] | None]":
        """Return the pictures, flagged ones blackened, and the safety checker's flags; None where the pipeline uses no checker."""
        if not self.safety_checker:
            return images, None
        with self.base.networks.using("safety_checker") as checker:
            flagged = flag(checker, images, self.base.model.feature_extractor_config)
        return blacken(images, flagged), flagged


def _fingerprints(model: Model, components: Iterable[ComponentName]) -> Iterator[tuple[str, str]]:
    for component in components:
        with suppress(SdrtError, OSError):
            yield component, fingerprint(model.files(component))
