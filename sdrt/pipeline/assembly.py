"""The object that :func:`sdrt.load` builds: a model, its ControlNets, its refiner, and the settings for decoding and checking pictures."""

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Self

from sdrt.arrays import Array, Float, Numerics
from sdrt.backends.pool import NetworkPool, OnCall
from sdrt.errors import SdrtError
from sdrt.exact.mathematics import Functions, functions_of
from sdrt.limits import DEFAULT_LIMITS, Limits
from sdrt.models import ComponentName, Model
from sdrt.models.fingerprint import fingerprint
from sdrt.models.lora import AppliedLora
from sdrt.pipeline.decoding import Decoder
from sdrt.pipeline.image_prompter import ImagePrompter
from sdrt.pipeline.loaded_model import LoadedModel
from sdrt.pipeline.loras import LoraLibrary
from sdrt.pipeline.observer import UNOBSERVED, Observer
from sdrt.pipeline.previews import PreviewKind, pictures_of, preview_kinds
from sdrt.pipeline.progress import Report
from sdrt.pipeline.remarks import RemarkLog
from sdrt.pipeline.safety_checker import FlaggedPictures, flag, hide
from sdrt.prompt import LoraTag

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
    t2i_adapters : tuple of NetworkPool
        Each with the one component ``t2i_adapter``.
    image_prompter : ImagePrompter or None
        The networks of IP-Adapters, whose keys and values the base model's U-Net has; None where it has none.
    backends : mapping from component to the backend's name
    numerics : "float32", "float64" or "exact"
    preview_decoder : Decoder or None
        A quick decoder, for previews beside the model's own.
    vae_tiling : bool
        Whether pictures larger than the autoencoder was trained for are decoded tile by tile.
    safety_checker : bool
        Whether the model's safety checker inspects every picture.
    flagged_pictures : "black" or "blurred"
        What becomes of those that it flags.
    limits : Limits
        The most that a call may ask for.
    notes : mapping
        How a backend was set up, for the record of every picture.
    assumed : mapping
        The remarks of loading itself.
    remark_log : RemarkLog
        Where the pipeline's remarks are told, each once.
    lora_library : LoraLibrary or None
        Opens LoRAs; None: the pipeline takes none.
    loras : tuple of AppliedLora
        Those that are merged into the base model.
    observer : Observer
        Watches the run of a call.
    """

    base: LoadedModel
    backends: Mapping[str, str]
    numerics: Numerics
    refiner: LoadedModel | None = None
    controlnets: tuple[NetworkPool, ...] = ()
    t2i_adapters: tuple[NetworkPool, ...] = ()
    preview_decoder: Decoder | None = None
    image_prompter: ImagePrompter | None = None
    vae_tiling: bool = False
    safety_checker: bool = False
    flagged_pictures: FlaggedPictures = "black"
    limits: Limits = DEFAULT_LIMITS
    notes: Mapping[str, str] = field(default_factory=dict)
    assumed: Mapping[str, str] = field(default_factory=dict)
    remark_log: RemarkLog = field(default_factory=RemarkLog)
    lora_library: LoraLibrary | None = None
    loras: tuple[AppliedLora, ...] = ()
    observer: Observer = UNOBSERVED

    @property
    def functions(self) -> Functions:
        """What everything around the networks computes with."""
        return functions_of(self.numerics)

    @property
    def models(self) -> tuple[LoadedModel, ...]:
        """The base model, and the refiner where there is one."""
        return (self.base,) if self.refiner is None else (self.base, self.refiner)

    @cached_property
    def defaults(self) -> Mapping[str, Any]:
        """What the base model prefers; the first ControlNet that prefers a scale of guidance goes before it."""
        preferred = [scale for controlnet in self.controlnets if (scale := controlnet.model.defaults.get("guidance_scale")) is not None]
        return {**self.base.defaults, "guidance_scale": preferred[0]} if preferred else self.base.defaults

    @property
    def pools(self) -> tuple[NetworkPool, ...]:
        """All networks."""
        beside = () if self.preview_decoder is None else (self.preview_decoder.networks,)
        image_prompting = () if self.image_prompter is None else (pool for _, pool, _ in self.image_prompter.networks)
        return (*(model.networks for model in self.models), *self.controlnets, *self.t2i_adapters, *beside, *image_prompting)

    @cached_property
    def weights(self) -> Mapping[str, str]:
        """Fingerprints of each component's weights, for the record. Unreadable weights are left out; opening them raises the error."""
        marks = dict(_fingerprints(self.base.model, self.base.drawing_components))
        if self.refiner is not None:
            components = [each for each in self.refiner.drawing_components if each != "vae_decoder"]
            marks |= {f"refiner.{component}": mark for component, mark in _fingerprints(self.refiner.model, components)}
        for k, controlnet in enumerate(self.controlnets):
            marks |= {f"{component}.{k}": mark for component, mark in _fingerprints(controlnet.model, ["controlnet"])}
        for k, adapter in enumerate(self.t2i_adapters):
            marks |= {f"{component}.{k}": mark for component, mark in _fingerprints(adapter.model, ["t2i_adapter"])}
        for name, pool, component in () if self.image_prompter is None else self.image_prompter.networks:
            for _, mark in _fingerprints(pool.model, [component]):
                marks[name] = mark
        return marks

    @cached_property
    def encoder_weights(self) -> Mapping[str, str]:
        """The fingerprint of the autoencoder's encoder, for the records of pictures that were made from others."""
        return dict(_fingerprints(self.base.model, ["vae_encoder"]))

    def with_loras(self, loras: Sequence[AppliedLora]) -> Self:
        """Return the same with these LoRAs in place of others; networks that they leave alone are shared."""
        # for the copy too, which keeps what is cached
        _ = self.weights
        changed = copy.copy(self)
        object.__setattr__(changed, "base", self.base.with_loras(loras, self.functions))
        object.__setattr__(changed, "loras", tuple(loras))
        return changed

    def observed(self, observer: Observer) -> Self:
        """Return the same for one run that this observer watches; the networks are shared."""
        # for the copy too, which keeps what is cached
        _ = self.weights
        called, changed = observer.called, copy.copy(self)
        object.__setattr__(changed, "observer", observer)
        object.__setattr__(changed, "base", self.base.watched(called))
        if self.refiner is not None:
            object.__setattr__(changed, "refiner", self.refiner.watched(lambda name, *arrays: called(f"refiner.{name}", *arrays)))
        for name, pools in (("controlnets", self.controlnets), ("t2i_adapters", self.t2i_adapters)):
            numbered = (pool.watched(partial(_called_by_number, called, k)) for k, pool in enumerate(pools))
            object.__setattr__(changed, name, tuple(numbered))
        if self.image_prompter is not None:
            object.__setattr__(changed, "image_prompter", self.image_prompter.watched(called))
        return changed

    def with_tags(self, tags: Sequence[LoraTag]) -> Self:
        """Return the same with the LoRAs that a prompt names.

        Raises
        ------
        ConfigError, ModelError : see `LoraLibrary.with_tags`
        """
        if not tags or self.lora_library is None:
            return self
        return self.with_loras(self.lora_library.with_tags(self.loras, tags))

    @property
    def remarks(self) -> dict[str, str]:
        """What was assumed of the models, and what opening their networks found so far."""
        remarks = dict(self.assumed)
        pools = {"": self.base.networks} | {f"controlnet {k}: ": pool for k, pool in enumerate(self.controlnets)}
        pools |= {f"t2i_adapter {k}: ": pool for k, pool in enumerate(self.t2i_adapters)}
        if self.refiner is not None:
            pools["refiner: "] = self.refiner.networks
        if self.image_prompter is not None:
            pools |= {f"{name}: ": pool for name, pool, _ in self.image_prompter.networks}
        for place, pool in pools.items():
            remarks |= {f"{place}{topic}": text for topic, text in (*pool.model.remarks.items(), *pool.remarks.items())}
        return remarks

    def load(self, report: Report) -> None:
        """Open every network that drawing needs and that is not open yet.

        Raises
        ------
        Cancelled : the caller cancelled before a network was opened
        """
        wanted = [(self.base.networks, component) for component in self.base.drawing_components]
        if self.refiner is not None:
            # the base model decodes the refiner's latents
            wanted += [(self.refiner.networks, component) for component in self.refiner.drawing_components if component != "vae_decoder"]
        wanted += [(controlnet, "controlnet") for controlnet in self.controlnets]
        wanted += [(adapter, "t2i_adapter") for adapter in self.t2i_adapters]
        if self.image_prompter is not None:
            wanted += [(pool, component) for _, pool, component in self.image_prompter.networks]
        if self.safety_checker:
            wanted.append((self.base.networks, "safety_checker"))
        for pool, component in report.each("load", [(pool, component) for pool, component in wanted if not pool.is_open(component)]):
            pool.get(component)
        self.remark_log.tell(self.remarks)

    @property
    def preview_kinds(self) -> tuple[PreviewKind, ...]:
        """The kinds of pictures that `decode` can make, the cheapest first."""
        return preview_kinds(self.base, self.preview_decoder)

    def decode(
        self,
        latents: Float,
        report: Report,
        finish: "Callable[[Image, int], Image] | None" = None,
        first: int = 0,
        kind: PreviewKind = "vae",
    ) -> "tuple[list[Image], tuple[bool, ...] | None]":
        """Decode latents to pictures, and let the safety checker see each: the one door by which pictures leave.

        Parameters
        ----------
        latents : float[n,C,h,w]
            Decoded one at a time, so that a batch needs no more memory than one picture.
        report : Report
        finish : callable or None
            Applied to each picture, with its index in the call, before the safety checker sees it.
        first : int
            The index of the first picture.
        kind : "latent", "taesd" or "vae"
            What makes the pictures, see `Step.decode`.

        Returns
        -------
        images : list of n PIL images
            Those that the safety checker flags are black or blurred.
        flagged : tuple of n bool, or None
            None for a pipeline without a checker.

        Raises
        ------
        Cancelled : the caller cancelled before the last picture was ready
        ConfigError : as `check_kind`
        """
        images: list[Image] = []
        with closing(pictures_of(latents, kind, self.base, self.preview_decoder, tiled=self.vae_tiling)) as decoded:
            for done in range(len(latents)):
                report("decode", done, len(latents))
                picture = next(decoded)
                images.append(picture if finish is None else finish(picture, first + done))
        if not self.safety_checker:
            report.heed()
            return images, None
        flagged: list[bool] = []
        with self.base.networks.using("safety_checker") as checker:
            for image in images:
                report.heed()
                flagged += flag(checker, [image], self.base.model.feature_extractor_config)
        report.heed()
        return hide(images, flagged, self.flagged_pictures), tuple(flagged)


def _called_by_number(called: OnCall, number: int, component: str, inputs: Mapping[str, Array], outputs: Mapping[str, Array]) -> None:
    called(f"{component}.{number}", inputs, outputs)


def _fingerprints(model: Model, components: Iterable[ComponentName]) -> Iterator[tuple[str, str]]:
    for component in components:
        with suppress(SdrtError, OSError):
            yield component, fingerprint(model.files(component))
