"""From prompt to picture: the pipeline and its one loop.

The loop stands once, as a generator: progress, previews and cancelling are what a caller does between two of its steps. A call keeps its
state in its own frame, so that calls on one pipeline, from one thread or several, do not know of each other.
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self, Unpack

import numpy as np

from sdrt.arrays import Array, Float, Numerics, float_dtype
from sdrt.backends.pool import NetworkPool
from sdrt.guidance.classifier_free import guidance_embedding, guide, is_guided
from sdrt.pipeline.conditions.control import settle_controls
from sdrt.pipeline.conditions.inpaint import inpaint_channels
from sdrt.pipeline.conditions.pictures import to_unit
from sdrt.pipeline.denoiser import Conditions, Denoiser
from sdrt.pipeline.loaded_model import LoadedModel
from sdrt.pipeline.noise import RunNoise, open_noise
from sdrt.pipeline.options import GenerateOptions, current_spellings
from sdrt.pipeline.resolve import control_pictures, settle, sizes_of, streams_of
from sdrt.pipeline.results import Result, Step
from sdrt.pipeline.safety_checker import blacken, flag
from sdrt.records.settings import Settings
from sdrt.schedulers import Plan, Sampler
from sdrt.tokenizer import ClipTokenizer

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["GenerateOptions", "Pipeline", "Result", "Step"]

log = logging.getLogger("sdrt")


@dataclass(frozen=True, eq=False)
class _Run:
    """One call, prepared: all that the loop reads."""

    settings: Settings
    sampler: Sampler
    plan: Plan
    noise: RunNoise
    told: Array  # f64[calls] or i64[calls]: the plan's timesteps as the networks take them
    latents: Float
    guided: bool  # whether the batch has rows without the prompt
    conditions: Conditions
    refined: Conditions | None  # what the refiner is told
    refine_at: int | None  # the call at which it takes over
    truncated: tuple[str, str]


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
        **options: Unpack[GenerateOptions],
    ) -> Result:
        """Draw pictures of a prompt.

        Parameters
        ----------
        prompt, negative_prompt : str
            What to draw, and what to lead away from (only with guidance).
        on_step : callable, optional
            Called after each network call with a :class:`Step`; returning False cancels.
        **options
            Seed, number of images, steps, guidance, size, scheduler, noise stream: see :class:`GenerateOptions`.

        Returns
        -------
        Result

        Raises
        ------
        ConfigError : a setting that cannot be used, or an option that does not exist
        ModelError : the model's folder is incomplete or damaged
        ArrayContractError : a network gave NaN, or an array of another shape than its contract says
        """
        run = self._prepare(prompt, negative_prompt, current_spellings(options))
        seeds = tuple(run.settings.seed + k for k in range(run.settings.num_images))
        latents = run.latents
        for step in self._denoise(run):
            latents = step.latents
            if on_step is not None and on_step(step) is False:
                return Result([], latents, seeds, run.settings, run.truncated, cancelled=True)
        images, flagged = self._checked(self.decode(latents))
        return Result(images, latents, seeds, run.settings, run.truncated, flagged=flagged)

    def steps(self, prompt: str, negative_prompt: str = "", **options: Unpack[GenerateOptions]) -> Iterator[Step]:
        """The loop under :meth:`generate`, one :class:`Step` after the other; leaving it cancels, ``decode(step.latents)`` draws.

        Parameters, errors: as :meth:`generate`; settings are checked here, before the first step is asked for.
        """
        return self._denoise(self._prepare(prompt, negative_prompt, current_spellings(options)))

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

    def _prepare(self, prompt: str, negative_prompt: str, options: GenerateOptions) -> _Run:
        base = self._base
        settings, sampler = settle(
            base,
            prompt,
            negative_prompt,
            options,
            backends=self.backends,
            numerics=self.numerics,
            num_controlnets=len(self._controlnets),
            refined=self._refiner is not None,
            remarks=self._remarks,
        )
        plan = sampler.plan(settings.num_inference_steps)
        told = _told(plan.timesteps, *(each.model.limits.timestep_dtype for each in self._models()))
        rng, sampler_rng = streams_of(options)
        noise = open_noise(rng, sampler_rng, settings.seed, settings.sampler_seed, settings.num_images)
        # CFG++ looks at the unconditional rows at every scale
        guided = base.guidance_size is None and (sampler.needs_unconditional or is_guided(settings.guidance_scale))
        texts, text = base.texts(settings, sizes_of(settings), guided=guided)
        if text.truncated[0]:
            log.warning("the prompt is too long: %r was cut off", text.truncated[0])
        shape = (base.latents.channels, settings.height // base.latents.scale, settings.width // base.latents.scale)
        latents = noise.latents(shape).astype(float_dtype(self.numerics), copy=False) * plan.init_scale
        conditions = self._conditions(settings, options, texts, noise, shape)
        refined = None
        if self._refiner is not None:
            own, _ = self._refiner.texts(settings, sizes_of(settings), guided=guided)
            refined = Conditions(_for_each_image(own, settings.num_images))
        log.debug("prepared %s", settings)
        return _Run(
            settings,
            sampler,
            plan,
            noise,
            told,
            latents,
            guided,
            conditions,
            refined,
            self._refine_at(plan, sampler, settings),
            text.truncated,
        )

    def _conditions(
        self, settings: Settings, options: GenerateOptions, texts: Mapping[str, Float], noise: RunNoise, shape: tuple[int, int, int]
    ) -> Conditions:
        """What the base model's networks are told; draws the in-painting posterior's noise, which comes right after the latents."""
        base, facts = self._base, self._base.latents
        channels = None
        if base.inpaints:
            factors = (facts.scaling_factor, facts.shift_factor)
            channels = inpaint_channels(base.networks, options["image"], options["mask_image"], noise, shape, facts.scale, factors)
        told = {}
        if base.guidance_size is not None:
            rows = len(texts["encoder_hidden_states"])
            told["timestep_cond"] = np.repeat(guidance_embedding(settings.guidance_scale, base.guidance_size), rows, axis=0)
        pictures = control_pictures(options, len(self._controlnets))
        controls = settle_controls(
            len(pictures),
            options.get("controlnet_conditioning_scale"),
            options.get("control_guidance_start"),
            options.get("control_guidance_end"),
        )
        floats = [to_unit("control_image", picture, settings.height, settings.width) for picture in pictures]
        count = settings.num_images
        return Conditions(_for_each_image(texts, count), _for_each_image(told, count), channels, tuple(zip(floats, controls, strict=True)))

    def _refine_at(self, plan: Plan, sampler: Sampler, settings: Settings) -> int | None:
        """The call at which the refiner takes over: the first step below its share of the noise levels, as diffusers counts it."""
        if self._refiner is None:
            return None
        cutoff = round(sampler.num_train_timesteps * (1 - settings.conditions["refiner_start"]))
        return next((i for i in plan.starts if plan.timesteps[i] < cutoff), None)

    def _denoise(self, run: _Run) -> Iterator[Step]:
        """The loop: one network call, one scheduler step, one Step."""
        settings, plan, sampler = run.settings, run.plan, run.sampler
        with ExitStack() as networks:
            denoiser = self._open(networks, self._base, self._controlnets, run.conditions, settings)
            state = sampler.start(plan, run.latents)
            paths = run.noise.paths(plan, run.latents.shape[1:], sampler.brownian_seed)
            for index, timestep in enumerate(run.told):
                if index == run.refine_at and self._refiner is not None and run.refined is not None:
                    networks.close()
                    denoiser = self._open(networks, self._refiner, (), run.refined, settings)
                noise_pred = denoiser(state.x * plan.input_scale[index], timestep, index, plan.num_calls)
                unconditional = None
                if run.guided:
                    if sampler.needs_unconditional:
                        unconditional = noise_pred[: len(state.x)].astype(float_dtype(self.numerics), copy=False)
                    noise_pred = guide(noise_pred, settings.guidance_scale, settings.guidance_rescale)
                fresh = run.noise.step(plan, index, paths, state.x.shape[1:])
                output = noise_pred.astype(float_dtype(self.numerics), copy=False)
                state = sampler.step(plan, state, output, fresh, unconditional_output=unconditional)
                latents = state.x.view()
                latents.flags.writeable = False
                yield Step(index, plan.num_calls, float(timestep), latents, state, self.decode)

    def _open(
        self, networks: ExitStack, opened: LoadedModel, controlnets: Sequence[NetworkPool], conditions: Conditions, settings: Settings
    ) -> Denoiser:
        unet = networks.enter_context(opened.networks.using("unet"))
        controls = [networks.enter_context(controlnet.using("controlnet")) for controlnet in controlnets]
        return Denoiser(unet, controls, conditions, settings.num_images, sequential=settings.guidance_batching == "sequential")

    def _checked(self, images: "list[Image]") -> "tuple[list[Image], tuple[bool, ...] | None]":
        """Pictures with those blackened that the safety checker flags."""
        if not self._safety_checker:
            return images, None
        with self._base.networks.using("safety_checker") as checker:
            flagged = flag(checker, images)
        return blacken(images, flagged), flagged


def _for_each_image(inputs: Mapping[str, Float], num_images: int) -> dict[str, Float]:
    """Every row as often as there are images."""
    return {name: np.repeat(value, num_images, axis=0) for name, value in inputs.items()}


def _told(timesteps: Array, *dtypes: str) -> Array:
    """The timesteps that networks are told: float16 holds whole numbers to 2048, and rounds those that lie between two stops.

    The sampler keeps its own noise levels, which the rounding does not move.
    """
    if "float16" not in dtypes:
        return timesteps
    rounded = timesteps.astype(np.float16).astype(timesteps.dtype)
    for exact, near in zip(timesteps.tolist(), rounded.tolist(), strict=True):
        if exact != near:
            log.info("the packages take timesteps as float16: %g becomes %g", exact, near)
    return rounded
