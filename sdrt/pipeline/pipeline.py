"""From prompt to picture: the pipeline, which makes a run of each call and hands it to the one loop."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Self, Unpack

import numpy as np

from sdrt.arrays import Array, Float, Numerics, float_dtype
from sdrt.backends.pool import NetworkPool
from sdrt.guidance import Guidance, choose_guidance
from sdrt.images.inputs import Picture, to_unit
from sdrt.pipeline.conditions.control import resolve_controlnets
from sdrt.pipeline.conditions.inpaint import inpaint_channels
from sdrt.pipeline.denoiser import Conditions, Denoiser
from sdrt.pipeline.loaded_model import LoadedModel
from sdrt.pipeline.noise import open_noise
from sdrt.pipeline.options import (
    ControlNetInput,
    GenerateOptions,
    GuidanceBatching,
    NoiseSource,
    OldSpellings,
    SchedulerChoice,
    SDXLSizes,
    given_options,
)
from sdrt.pipeline.resolve import control_pictures, resolve, sizes_of, streams_of
from sdrt.pipeline.results import Result, Step
from sdrt.pipeline.run import Phase, Run, denoise
from sdrt.pipeline.safety_checker import blacken, flag
from sdrt.pipeline.start import from_noise
from sdrt.prompt import Emphasis, LongPrompts, PromptSyntax
from sdrt.records.settings import Settings
from sdrt.schedulers import Compat, Plan, Sampler
from sdrt.tokenizer import ClipTokenizer

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["GenerateOptions", "Pipeline", "Result", "Step"]

log = logging.getLogger("sdrt")


class Pipeline:
    """A model, its tokenizers and its networks; made by :func:`sdrt.load`.

    Networks are opened when first needed, or all at once by :meth:`load`. Any number of threads may call one pipeline; :meth:`unload` and
    :meth:`close` are for when no call is running.

    Parameters
    ----------
    base : LoadedModel
    backends : mapping from component to the backend's name
    numerics : "float32" or "float64"
    controlnets : sequence of NetworkPool
        Each with the one component ``controlnet``.
    refiner : LoadedModel or None
        An SDXL refiner, which takes over near the end.
    vae_tiling : bool
        Whether pictures larger than the autoencoder was trained for are decoded tile by tile.
    safety_checker : bool
        Whether the model's safety checker looks at every picture.
    remarks : mapping, optional
        For the record of every picture, see `Settings`.
    """

    def __init__(
        self,
        base: LoadedModel,
        backends: Mapping[str, str],
        numerics: Numerics,
        *,
        controlnets: Sequence[NetworkPool] = (),
        refiner: LoadedModel | None = None,
        vae_tiling: bool = False,
        safety_checker: bool = False,
        remarks: Mapping[str, str] | None = None,
    ) -> None:
        self.model = base.model
        self.backends = backends
        self.numerics = numerics
        self._base = base
        self._controlnets = tuple(controlnets)
        self._refiner = refiner
        self._vae_tiling = vae_tiling
        self._safety_checker = safety_checker
        self._remarks = dict(remarks or {})

    # ---- drawing

    def generate(
        self,
        prompt: str,
        negative_prompt: str = "",
        *,
        on_step: Callable[[Step], bool | None] | None = None,
        seed: int | None = None,
        num_images: int = 1,
        num_inference_steps: int | None = None,
        guidance_scale: float | None = None,
        guidance_rescale: float = 0.0,
        guidance_batching: GuidanceBatching = "batched",
        height: int | None = None,
        width: int | None = None,
        scheduler: SchedulerChoice | None = None,
        eta: float | None = None,
        rng: NoiseSource = "torch",
        sampler_rng: NoiseSource | None = None,
        sampler_seed: int | None = None,
        prompt_syntax: PromptSyntax | None = None,
        long_prompts: LongPrompts | None = None,
        emphasis: Emphasis = "original",
        clip_skip: int | None = None,
        image: Picture | None = None,
        mask_image: Picture | None = None,
        control_image: Picture | ControlNetInput | Sequence[Picture | ControlNetInput] | None = None,
        controlnet_conditioning_scale: float | Sequence[float] | None = None,
        control_guidance_start: float | Sequence[float] | None = None,
        control_guidance_end: float | Sequence[float] | None = None,
        sizes: SDXLSizes | None = None,
        original_size: tuple[int, int] | None = None,
        crops_coords_top_left: tuple[int, int] | None = None,
        target_size: tuple[int, int] | None = None,
        aesthetic_score: float | None = None,
        negative_aesthetic_score: float | None = None,
        refiner_start: float | None = None,
        compat: Compat = None,
        **old_spellings: Unpack[OldSpellings],
    ) -> Result:
        """Draw images of a prompt.

        Passing None for an option is the same as leaving it out.

        Parameters
        ----------
        prompt : str
            What to draw.
        negative_prompt : str
            What to steer away from. It has an effect only while guidance is on.
        on_step : callable, optional
            Called with a :class:`Step` after each network call; return False to cancel.
        seed : int, optional
            Image k is drawn from ``seed + k``, alone or in a batch. None picks a random seed and reports it in ``Result.seeds``.
        num_images : int
            How many images to draw in one batch.
        num_inference_steps : int, optional
            How many denoising steps to take. None: what the model's folder says (``sdrt.json``), else 50.
        guidance_scale : float, optional
            Strength of classifier-free guidance. 1 or less turns it off and halves the work. None: what the model's folder says, else 7.5.
        guidance_rescale : float
            How far to bring the standard deviation of the guided prediction back to that of the conditional one, from 0 (not at all) to 1.
            Try 0.7 for models with zero terminal signal-to-noise ratio.
        guidance_batching : "batched" or "sequential"
            Send all rows (each image with and without the prompt) through the U-Net together, or one after the other in less memory.
        height : int, optional
            Pixels. None: what the model's folder says, else the size that the U-Net was trained for.
        width : int, optional
            As ``height``.
        scheduler : str, mapping, Sampler or DiffusersScheduler, optional
            A name (:func:`sdrt.schedulers.names` lists them) applied to the model's own configuration; a whole configuration in diffusers'
            keys; or an object of :mod:`sdrt.schedulers`. None: the model's own scheduler.
        eta : float, optional
            Amount of fresh noise per step, for the schedulers that have such an option (DDIM, TCD, ancestral ones). None: the scheduler's
            own amount.
        rng : str, NoiseStream or mapping
            Noise stream. A name of :func:`sdrt.rng.names` gives each image a stream of its own; from a stream object all images draw in
            turn; a mapping is the ``state`` of such a stream, and draws the same noise in each call.
        sampler_rng : str, NoiseStream or mapping, optional
            A separate stream for the scheduler's fresh noise. None: each image's own stream continues.
        sampler_seed : int, optional
            Seed of that separate stream. None: ``seed``.
        prompt_syntax : "weighted" or "plain", optional
            "weighted" reads ``(word)``, ``(word:1.3)``, ``[word]`` and ``BREAK`` as AUTOMATIC1111 does; "plain" takes all characters as
            text. None: "weighted", or "plain" with ``compat="diffusers"``.
        long_prompts : "chunk" or "truncate", optional
            "chunk" encodes a prompt in pieces of 75 tokens; "truncate" drops the rest and reports it in ``Result.truncated``. None:
            "chunk", or "truncate" where the model takes one chunk only and with ``compat="diffusers"``.
        emphasis : "original" or "no_norm"
            Whether the mean of a chunk is restored after the weights of words were applied ("original"), or not.
        clip_skip : int, optional
            How many of the text encoder's last layers to skip, as diffusers counts them (AUTOMATIC1111's number less 1). None: 0.
        image : Picture, optional
            For an in-painting model: the picture to change, a PIL image or ``uint8[H,W,3]``.
        mask_image : Picture, optional
            For an in-painting model: a picture whose white areas are redrawn.
        control_image : Picture or ControlNetInput, or a sequence of them, optional
            One picture for each ControlNet of the pipeline. A :class:`sdrt.ControlNetInput` also holds the three options below.
        controlnet_conditioning_scale : float or sequence of float, optional
            Strength of the ControlNets: one number for all, or one for each. None: 1.
        control_guidance_start : float or sequence of float, optional
            Fraction of the run at which ControlNets start to act. None: 0.
        control_guidance_end : float or sequence of float, optional
            Fraction of the run at which ControlNets stop to act. None: 1.
        sizes : SDXLSizes, optional
            SDXL: the five options below in one object.
        original_size : (height, width), optional
            SDXL: the size that the image should look like it was resized from. None: its own size.
        crops_coords_top_left : (top, left), optional
            SDXL: how many pixels the image should look cropped by. None: (0, 0), which centres the subject.
        target_size : (height, width), optional
            SDXL: the size that the image should look like it has. None: its own size.
        aesthetic_score : float, optional
            SDXL's refiner: the score to aim at. None: 6.
        negative_aesthetic_score : float, optional
            SDXL's refiner: the score to steer away from. None: 2.5.
        refiner_start : float, optional
            With a refiner: fraction of the noise levels, in (0, 1], after which it takes over. None: 0.8.
        compat : "diffusers", "apple" or None
            Reproduce the known bugs of that implementation in the scheduler. "diffusers" also reads prompts as diffusers does (see
            ``prompt_syntax`` and ``long_prompts``), and applies ``clip_skip`` to the prompt alone.
        **old_spellings
            What 0.1.0 wrote: ``cfg`` for ``guidance_batching``. It works, with a DeprecationWarning.

        Returns
        -------
        Result

        Raises
        ------
        ConfigError : an option that does not exist, does not fit the model, or has a value out of its range
        ImageError : ``image``, ``mask_image`` or ``control_image`` is no picture
        ModelError : the model's folder is incomplete or damaged
        ArrayContractError : a network returned NaN, or an array of another shape than its contract says
        """
        run, truncated = self._prepare(prompt, negative_prompt, given_options(locals(), old_spellings))
        seeds = tuple(run.settings.seed + k for k in range(run.settings.num_images))
        latents = run.start.latents
        for step in denoise(run):
            latents = step.latents
            if on_step is not None and on_step(step) is False:
                return Result([], latents, seeds, run.settings, truncated, cancelled=True)
        images, flagged = self._checked(self.decode(latents))
        return Result(images, latents, seeds, run.settings, truncated, flagged=flagged)

    def steps(
        self,
        prompt: str,
        negative_prompt: str = "",
        *,
        seed: int | None = None,
        num_images: int = 1,
        num_inference_steps: int | None = None,
        guidance_scale: float | None = None,
        guidance_rescale: float = 0.0,
        guidance_batching: GuidanceBatching = "batched",
        height: int | None = None,
        width: int | None = None,
        scheduler: SchedulerChoice | None = None,
        eta: float | None = None,
        rng: NoiseSource = "torch",
        sampler_rng: NoiseSource | None = None,
        sampler_seed: int | None = None,
        prompt_syntax: PromptSyntax | None = None,
        long_prompts: LongPrompts | None = None,
        emphasis: Emphasis = "original",
        clip_skip: int | None = None,
        image: Picture | None = None,
        mask_image: Picture | None = None,
        control_image: Picture | ControlNetInput | Sequence[Picture | ControlNetInput] | None = None,
        controlnet_conditioning_scale: float | Sequence[float] | None = None,
        control_guidance_start: float | Sequence[float] | None = None,
        control_guidance_end: float | Sequence[float] | None = None,
        sizes: SDXLSizes | None = None,
        original_size: tuple[int, int] | None = None,
        crops_coords_top_left: tuple[int, int] | None = None,
        target_size: tuple[int, int] | None = None,
        aesthetic_score: float | None = None,
        negative_aesthetic_score: float | None = None,
        refiner_start: float | None = None,
        compat: Compat = None,
        **old_spellings: Unpack[OldSpellings],
    ) -> Iterator[Step]:
        """Return the loop under :meth:`generate`, one :class:`Step` after the other.

        Leaving the loop cancels; ``decode(step.latents)`` draws. Options are checked here, before the first step is asked for.

        Parameters, errors: those of :meth:`generate`, which documents each.
        """
        run, _ = self._prepare(prompt, negative_prompt, given_options(locals(), old_spellings))
        return denoise(run)

    def resolve(
        self,
        prompt: str,
        negative_prompt: str = "",
        *,
        seed: int | None = None,
        num_images: int = 1,
        num_inference_steps: int | None = None,
        guidance_scale: float | None = None,
        guidance_rescale: float = 0.0,
        guidance_batching: GuidanceBatching = "batched",
        height: int | None = None,
        width: int | None = None,
        scheduler: SchedulerChoice | None = None,
        eta: float | None = None,
        rng: NoiseSource = "torch",
        sampler_rng: NoiseSource | None = None,
        sampler_seed: int | None = None,
        prompt_syntax: PromptSyntax | None = None,
        long_prompts: LongPrompts | None = None,
        emphasis: Emphasis = "original",
        clip_skip: int | None = None,
        image: Picture | None = None,
        mask_image: Picture | None = None,
        control_image: Picture | ControlNetInput | Sequence[Picture | ControlNetInput] | None = None,
        controlnet_conditioning_scale: float | Sequence[float] | None = None,
        control_guidance_start: float | Sequence[float] | None = None,
        control_guidance_end: float | Sequence[float] | None = None,
        sizes: SDXLSizes | None = None,
        original_size: tuple[int, int] | None = None,
        crops_coords_top_left: tuple[int, int] | None = None,
        target_size: tuple[int, int] | None = None,
        aesthetic_score: float | None = None,
        negative_aesthetic_score: float | None = None,
        refiner_start: float | None = None,
        compat: Compat = None,
        **old_spellings: Unpack[OldSpellings],
    ) -> Settings:
        """Check the options of a call and fill in their defaults, without opening a network.

        Parameters, errors: those of :meth:`generate`, which documents each.

        Returns
        -------
        Settings
            What :meth:`generate` would record; a seed that was not given is drawn.
        """
        return self._resolve(prompt, negative_prompt, given_options(locals(), old_spellings))[0]

    def decode(self, latents: Float) -> "list[Image]":
        """Pictures of latents, one at a time, so that a batch needs no more memory than one.

        Parameters
        ----------
        latents : float[n,C,h,w]
        """
        return self._base.decode(latents, tiled=self._vae_tiling)

    # ---- the model in memory

    def load(self) -> Self:
        """Open now what drawing needs; returns the pipeline."""
        for opened in self._models():
            for component in opened.drawing_components:
                opened.networks.get(component)
        for controlnet in self._controlnets:
            controlnet.get("controlnet")
        return self

    def unload(self) -> None:
        """Give the networks' memory back; the next call opens them again."""
        for pool in self._pools():
            pool.unload()

    def close(self) -> None:
        """Give everything back; calls afterwards raise BackendError."""
        for pool in self._pools():
            pool.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    @property
    def tokenizer(self) -> ClipTokenizer:
        """The model's tokenizer; of two, the first."""
        return next(iter(self._base.tokenizers.values()))

    def _models(self) -> Iterator[LoadedModel]:
        yield self._base
        if self._refiner is not None:
            yield self._refiner

    def _pools(self) -> Iterator[NetworkPool]:
        yield from (opened.networks for opened in self._models())
        yield from self._controlnets

    # ---- one call

    def _resolve(self, prompt: str, negative_prompt: str, options: GenerateOptions) -> tuple[Settings, Sampler]:
        return resolve(
            self._base,
            prompt,
            negative_prompt,
            options,
            backends=self.backends,
            numerics=self.numerics,
            num_controlnets=len(self._controlnets),
            refined=self._refiner is not None,
            remarks=self._remarks,
            vae_tiling=self._vae_tiling,
        )

    def _prepare(self, prompt: str, negative_prompt: str, options: GenerateOptions) -> tuple[Run, tuple[str, str]]:
        base = self._base
        settings, sampler = self._resolve(prompt, negative_prompt, options)
        plan = sampler.plan(settings.num_inference_steps)
        timesteps = network_timesteps(plan.timesteps, *(each.model.limits.timestep_dtype for each in self._models()))
        rng, sampler_rng = streams_of(options)
        noise = open_noise(rng, sampler_rng, settings.seed, settings.sampler_seed, settings.num_images)
        guidance = choose_guidance(
            settings.guidance_scale,
            settings.guidance_rescale,
            embedding_size=base.guidance_size,
            needs_unconditional=sampler.needs_unconditional,
        )
        texts, text = base.texts(settings, sizes_of(settings), guidance.rows)
        if text.truncated[0]:
            log.warning("the prompt is too long: %r was cut off", text.truncated[0])
        shape = (base.latents.channels, settings.height // base.latents.scale, settings.width // base.latents.scale)
        start = from_noise(noise, plan, shape, float_dtype(self.numerics))
        channels = self._inpaint_channels(options, noise.posterior(shape)) if base.inpaints else None
        pictures = control_pictures(options, len(self._controlnets))
        controls = resolve_controlnets(
            len(pictures),
            options.get("controlnet_conditioning_scale"),
            options.get("control_guidance_start"),
            options.get("control_guidance_end"),
        )
        floats = [to_unit("control_image", picture, settings.height, settings.width) for picture in pictures]
        conditions = Conditions(texts, guidance.unet_inputs, channels, tuple(zip(floats, controls, strict=True)))
        phases = [Phase(0, guidance, self._networks(base, self._controlnets, conditions, guidance, settings))]
        if self._refiner is not None and (begins := _refiner_begins(plan, sampler, settings)) is not None:
            own, _ = self._refiner.texts(settings, sizes_of(settings), guidance.rows)
            phases.append(Phase(begins, guidance, self._networks(self._refiner, (), Conditions(own), guidance, settings)))
        log.debug("prepared %s", settings)
        return Run(settings, sampler, plan, timesteps, start, noise, tuple(phases), self.decode), text.truncated

    def _inpaint_channels(self, options: GenerateOptions, noise: Float) -> Float:
        latents = self._base.latents
        factors = (latents.scaling_factor, latents.shift_factor)
        image: Any = options.get("image")
        mask_image: Any = options.get("mask_image")
        return inpaint_channels(self._base.networks, image, mask_image, noise, latents.scale, factors)

    def _networks(
        self, model: LoadedModel, controlnets: Sequence[NetworkPool], conditions: Conditions, guidance: Guidance, settings: Settings
    ) -> Callable[[], AbstractContextManager[Denoiser]]:
        """Return the way to open a model's denoiser under these conditions."""

        @contextmanager
        def opened() -> Iterator[Denoiser]:
            with ExitStack() as stack:
                unet = stack.enter_context(model.networks.using("unet"))
                controls = [stack.enter_context(controlnet.using("controlnet")) for controlnet in controlnets]
                sequential = settings.guidance_batching == "sequential"
                yield Denoiser(unet, controls, conditions, guidance.rows, settings.num_images, sequential=sequential)

        return opened

    def _checked(self, images: "list[Image]") -> "tuple[list[Image], tuple[bool, ...] | None]":
        """Pictures with those blackened that the safety checker flags."""
        if not self._safety_checker:
            return images, None
        with self._base.networks.using("safety_checker") as checker:
            flagged = flag(checker, images)
        return blacken(images, flagged), flagged


def _refiner_begins(plan: Plan, sampler: Sampler, settings: Settings) -> int | None:
    """Return the call at which the refiner takes over: the first step below its share of the noise levels, as diffusers counts it."""
    cutoff = round(sampler.num_train_timesteps * (1 - settings.conditions["refiner_start"]))
    return next((i for i in plan.starts if plan.timesteps[i] < cutoff), None)


def network_timesteps(timesteps: Array, *dtypes: str) -> Array:
    """Return the timesteps that networks are told: float16 holds whole numbers to 2048, and rounds those that lie between two stops.

    The sampler keeps its own noise levels, which the rounding does not move.
    """
    if "float16" not in dtypes:
        return timesteps
    rounded = timesteps.astype(np.float16).astype(timesteps.dtype)
    for exact, near in zip(timesteps.tolist(), rounded.tolist(), strict=True):
        if exact != near:
            log.info("the packages take timesteps as float16: %g becomes %g", exact, near)
    return rounded
