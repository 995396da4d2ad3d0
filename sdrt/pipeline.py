"""From prompt to picture: the pipeline, its one loop, and what it gives back.

The loop stands once, as a generator: progress, previews and cancelling are what a caller does between two of its steps. A call keeps its
state in its own frame, so that calls on one pipeline, from one thread or several, do not know of each other.
"""

import logging
import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self, TypedDict, TypeVar, Unpack

import numpy as np

from sdrt._version import __version__
from sdrt.arrays import Float
from sdrt.backends import Backend, BackendOptions
from sdrt.backends.parts import OpenParts
from sdrt.errors import ConfigError
from sdrt.guidance import guide, is_guided
from sdrt.image import to_pil
from sdrt.models import Model, Part
from sdrt.noise import NoiseChoice, RunNoise, choice_name, open_noise, shared_states
from sdrt.prompt import Emphasis, LongPrompts, PromptSyntax, chunk_prompt, encode_prompts
from sdrt.schedulers import Compat, DiffusersScheduler, Plan, Sampler, State, sampler_from_config, sampler_from_name
from sdrt.settings import Settings
from sdrt.tokenizer import ClipTokenizer

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["GenerateOptions", "Pipeline", "Result", "Step"]

T = TypeVar("T")

log = logging.getLogger("sdrt")

# What a run takes where neither the caller nor the model's folder says.
_DEFAULT_STEPS = 50
_DEFAULT_GUIDANCE = 7.5


class GenerateOptions(TypedDict, total=False):
    """The options of :meth:`Pipeline.generate` and :meth:`Pipeline.steps`; None is the same as leaving one out."""

    seed: int | None
    """Image k is drawn from ``seed + k``, alone or in a batch; None draws a seed and reports it."""
    num_images: int
    """1 unless given."""
    num_inference_steps: int | None
    """None: what the model's folder says (``sdrt.json``), else 50."""
    guidance_scale: float | None
    """None: what the model's folder says, else 7.5. 1 or less: no guidance, one row an image."""
    guidance_rescale: float
    """How far guidance's deviation is drawn back to the conditional prediction's, in [0, 1]; 0 unless given."""
    height: int | None
    """Pixels; None: what the model's folder says, else the U-Net's sample size."""
    width: int | None
    """As height."""
    scheduler: "str | Mapping[str, Any] | Sampler | DiffusersScheduler | None"
    """None: the model's own configuration; a name: that configuration read by the named scheduler; a configuration or an object: itself."""
    eta: float | None
    """The share of fresh noise of DDIM, TCD and their like; None: the scheduler's own. Other schedulers have none."""
    rng: NoiseChoice
    """The noise stream by name, one for each image, ``torch`` unless given; or a stream of :mod:`sdrt.rng` from which all images draw."""
    sampler_rng: NoiseChoice | None
    """Where the scheduler's fresh noise comes from; None: each image's own stream goes on."""
    sampler_seed: int | None
    """The seed of that second stream; None: ``seed``."""
    prompt_syntax: PromptSyntax
    """``weighted`` unless given: ``(word:1.3)``, ``[word]``, ``BREAK`` (:mod:`sdrt.prompt.syntax`); ``plain``: all is text."""
    long_prompts: LongPrompts
    """``chunk`` unless given: what is beyond 75 tokens is encoded on its own; ``truncate``: it is cut and told, as in diffusers."""
    emphasis: Emphasis
    """How weights are applied: ``original`` unless given, which keeps each chunk's mean, or ``no norm``."""
    clip_skip: int | None
    """Last layers of the text encoder to leave out, as diffusers counts (AUTOMATIC1111's number less 1); None and 0: none.

    The negative prompt leaves them out too; diffusers 0.42.1 forgets that."""
    compat: Compat
    """Whose defects the scheduler reproduces, ``diffusers`` or ``apple``; None: what is right. With ``diffusers`` prompts too are read as
    there: plain and cut, unless ``prompt_syntax`` and ``long_prompts`` say otherwise, and clip_skip for the prompt alone."""


@dataclass(frozen=True, eq=False)
class Step:
    """One network call that is over.

    Parameters
    ----------
    index : int
        From 0.
    num_steps : int
        Network calls in the whole run; more than ``num_inference_steps`` for schedulers that call twice.
    timestep : float
        The noise level that the network saw, in steps of the training schedule.
    latents : float[n,C,h,w]
        What the step left behind, read-only, in the scale in which x = alpha * x0 + sigma * noise.
    """

    index: int
    num_steps: int
    timestep: float
    latents: Float
    _state: State = field(repr=False)
    _decode: "Callable[[Float], list[Image]]" = field(repr=False)

    @cached_property
    def x0(self) -> Float:
        """float[n,C,h,w]: the picture's latents as the networks predicted them in this step; computed when first read."""
        return self._state.x0

    @cached_property
    def preview(self) -> "list[Image]":
        """``x0`` as pictures; runs the decoder, once."""
        return self._decode(self.x0)


@dataclass(frozen=True, eq=False)
class Result:
    """What ``generate`` gives back.

    Parameters
    ----------
    images : list of PIL.Image.Image
        Empty if the run was cancelled.
    latents : float[n,C,h,w]
        The latents that the pictures were decoded from; if cancelled, those of the last step.
    seeds : tuple of int
        Image by image.
    settings : Settings
        Every setting of the run, defaults filled in.
    truncated : tuple of str
        What was cut from the prompt and from the negative prompt; two empty texts unless ``long_prompts`` is ``truncate``.
    cancelled : bool
        Whether ``on_step`` returned False.
    """

    images: "list[Image]"
    latents: Float
    seeds: tuple[int, ...]
    settings: Settings
    truncated: tuple[str, str]
    cancelled: bool = False


@dataclass(frozen=True, eq=False)
class _Run:
    """One call, prepared: all that the loop reads."""

    settings: Settings
    sampler: Sampler
    plan: Plan
    noise: RunNoise
    latents: Float
    encoder_hidden_states: Float
    truncated: tuple[str, str]


class Pipeline:
    """A model, its tokenizer and its networks; made by :func:`sdrt.load`.

    Networks are opened when first needed, or all at once by :meth:`load`. Any number of threads may call one pipeline; :meth:`unload` and
    :meth:`close` are for when no call is running.

    Parameters
    ----------
    model : Model
    backends : mapping of Part to Backend
    options : mapping of Part to BackendOptions
        One ``numerics`` for all.
    """

    def __init__(self, model: Model, backends: Mapping[Part, Backend], options: Mapping[Part, BackendOptions]) -> None:
        self.model = model
        self.backends = {part: backend.name for part, backend in backends.items()}
        self.numerics = options["unet"].numerics
        self._parts = OpenParts(model, backends, options)
        unet, vae = model.config("unet"), model.config("vae_decoder")
        self._channels: int = vae["latent_channels"]
        self._scaling_factor: float = vae["scaling_factor"]
        self._shift_factor: float = vae["shift_factor"] or 0.0
        self._scale = 2 ** (len(vae["block_out_channels"]) - 1)
        # a configuration without a size is of diffusers' own default model, of 64
        self._sample_size: int | list[int] = 64 if unet["sample_size"] is None else unet["sample_size"]
        if unet["in_channels"] != self._channels:
            raise ConfigError(
                f"{model.path}: the unet takes {unet['in_channels']} channels and the vae has {self._channels}; "
                "text to image needs a model in which they are the same"
            )

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
        run = self._prepare(prompt, negative_prompt, options)
        seeds = tuple(run.settings.seed + k for k in range(run.settings.num_images))
        latents = run.latents
        for step in self._denoise(run):
            latents = step.latents
            if on_step is not None and on_step(step) is False:
                return Result([], latents, seeds, run.settings, run.truncated, cancelled=True)
        return Result(self.decode(latents), latents, seeds, run.settings, run.truncated)

    def steps(self, prompt: str, negative_prompt: str = "", **options: Unpack[GenerateOptions]) -> Iterator[Step]:
        """The loop under :meth:`generate`, one :class:`Step` after the other; leaving it cancels, ``decode(step.latents)`` draws.

        Parameters, errors: as :meth:`generate`; settings are checked here, before the first step is asked for.
        """
        return self._denoise(self._prepare(prompt, negative_prompt, options))

    def decode(self, latents: Float) -> "list[Image]":
        """Pictures of latents, one at a time, so that a batch needs no more memory than one.

        Parameters
        ----------
        latents : float[n,C,h,w]
        """
        decoder = self._parts.get("vae_decoder")
        z = (latents / self._scaling_factor + self._shift_factor).astype(decoder.float_dtype(), copy=False)
        return [picture for k in range(len(z)) for picture in to_pil(decoder(z=z[k : k + 1])["image"])]

    # ---- the model in memory

    def load(self) -> Self:
        """Open now what drawing needs; returns the pipeline."""
        for part in ("text_encoder", "unet", "vae_decoder"):
            self._parts.get(part)
        return self

    def unload(self) -> None:
        """Give the networks' memory back; the next call opens them again."""
        self._parts.unload()

    def close(self) -> None:
        """Give everything back; calls afterwards raise BackendError."""
        self._parts.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    @cached_property
    def tokenizer(self) -> ClipTokenizer:
        """The model's tokenizer."""
        folder = self.model.tokenizer_path
        plain = ClipTokenizer.load(folder) if folder else ClipTokenizer.clip(self.model.pad_tokens["text_encoder"])
        return plain.with_embeddings(self.model.embedding_ids) if self.model.embeddings else plain

    # ---- one call

    def _prepare(self, prompt: str, negative_prompt: str, options: GenerateOptions) -> _Run:
        settings, sampler = self._settle(prompt, negative_prompt, options)
        plan = sampler.plan(settings.num_inference_steps)
        rng, sampler_rng = _streams(options)
        noise = open_noise(rng, sampler_rng, settings.seed, settings.sampler_seed, settings.num_images)
        states, truncated = self._encode(settings)
        shape = (self._channels, settings.height // self._scale, settings.width // self._scale)
        latents = noise.latents(shape).astype(self.numerics, copy=False) * plan.init_scale
        log.debug("prepared %s", settings)
        return _Run(settings, sampler, plan, noise, latents, states, truncated)

    def _settle(self, prompt: str, negative_prompt: str, options: GenerateOptions) -> tuple[Settings, Sampler]:
        """Fill in every default and check every setting."""
        if unknown := sorted(options.keys() - GenerateOptions.__annotations__.keys()):
            raise ConfigError(f"unknown option {', '.join(unknown)}; the options are {', '.join(GenerateOptions.__annotations__)}, on_step")
        for name, text in (("prompt", prompt), ("negative_prompt", negative_prompt)):
            if not isinstance(text, str):
                raise ConfigError(f"{name} is one text; got {type(text).__name__}: call generate once for each prompt")
        defaults = self.model.defaults
        height, width = self._native_size()
        scheduler = options.get("scheduler")
        rng, sampler_rng = _streams(options)
        sampler = self._sampler(scheduler, options.get("compat"))
        if options.get("eta") is not None:
            sampler = sampler.with_options(eta=options["eta"])
        as_diffusers = sampler.compat == "diffusers"
        settings = Settings(
            prompt=prompt,
            negative_prompt=negative_prompt,
            seed=_first(options.get("seed"), secrets.randbits(31) if isinstance(rng, str) else rng.seed),
            num_images=_first(options.get("num_images"), 1),
            num_inference_steps=_first(options.get("num_inference_steps"), defaults.get("num_inference_steps"), _DEFAULT_STEPS),
            guidance_scale=_first(options.get("guidance_scale"), defaults.get("guidance_scale"), _DEFAULT_GUIDANCE),
            guidance_rescale=_first(options.get("guidance_rescale"), 0.0),
            eta=getattr(sampler, "eta", 0.0),
            height=_first(options.get("height"), defaults.get("height"), height),
            width=_first(options.get("width"), defaults.get("width"), width),
            scheduler=scheduler if isinstance(scheduler, str) else sampler.name,
            scheduler_config=sampler.config,
            compat=sampler.compat,
            rng=rng if isinstance(rng, str) else rng.name,
            sampler_rng=choice_name(sampler_rng),
            sampler_seed=options.get("sampler_seed"),
            shared_streams=shared_states(rng=rng, sampler_rng=sampler_rng),
            prompt_syntax=_first(options.get("prompt_syntax"), "plain" if as_diffusers else "weighted"),
            long_prompts=_first(options.get("long_prompts"), "truncate" if as_diffusers else "chunk"),
            emphasis=_first(options.get("emphasis"), "original"),
            clip_skip=_first(options.get("clip_skip"), 0),
            embeddings={each.token: each.sha256 for each in self.model.embeddings},
            model=self.model.name,
            backend={str(part): name for part, name in self.backends.items()},
            numerics=self.numerics,
            version=__version__,
        )
        for name, pixels in (("height", settings.height), ("width", settings.width)):
            if pixels % self._scale:
                near = max(1, round(pixels / self._scale)) * self._scale
                raise ConfigError(f"{name} is a multiple of {self._scale} for this model; got {pixels}: try {near}")
        return settings, sampler

    def _native_size(self) -> tuple[int, int]:
        """Height and width in pixels that the U-Net was trained for."""
        size = self._sample_size
        rows, columns = size if isinstance(size, list) else (size, size)
        return rows * self._scale, columns * self._scale

    def _sampler(self, scheduler: "str | Mapping[str, Any] | Sampler | DiffusersScheduler | None", compat: Compat) -> Sampler:
        own = self.model.scheduler_config
        match scheduler:
            case None:
                found = sampler_from_config(own, self.numerics, compat)
            case str():
                found = sampler_from_name(scheduler, own, self.numerics, compat)
                if (found.alpha_bar() is None) != (sampler_from_config(own).alpha_bar() is None):
                    raise ConfigError(
                        f"{found.name} is for models of another kind than this one, which was trained for {own.get('_class_name')}; "
                        "choose another name, or pass a whole scheduler configuration"
                    )
            case Mapping():
                found = sampler_from_config(scheduler, self.numerics, compat)
            case DiffusersScheduler():
                found = scheduler.sampler
            case _:
                found = scheduler
        if found.inverse:
            raise ConfigError(f"{found.name} leads from a picture to its noise, and generate from noise to a picture; choose another one")
        return found if compat is None or found.compat == compat else replace(found, compat=compat)

    def _encode(self, settings: Settings) -> tuple[Float, tuple[str, str]]:
        """Hidden states for every row of the U-Net's batch: the negative prompt's rows first, if there is guidance."""
        empty, negative, prompt = (
            chunk_prompt(text, self.tokenizer, settings.prompt_syntax, settings.long_prompts)  # type: ignore[arg-type]
            for text in ("", settings.negative_prompt, settings.prompt)
        )
        encoder = self._parts.get("text_encoder", settings.clip_skip)
        rows = [negative, prompt] if is_guided(settings.guidance_scale) else [prompt]
        states = encode_prompts(lambda ids: encoder(input_ids=ids)["last_hidden_state"], rows, empty, settings.emphasis)  # type: ignore[arg-type]
        if prompt.truncated:
            log.warning("the prompt is too long: %r was cut off", prompt.truncated)
        return np.repeat(states, settings.num_images, axis=0), (prompt.truncated, negative.truncated)

    def _denoise(self, run: _Run) -> Iterator[Step]:
        """The loop: one network call, one scheduler step, one Step."""
        settings, plan = run.settings, run.plan
        network = self._parts.get("unet")
        dtype = network.float_dtype()
        unet = network.bind(encoder_hidden_states=run.encoder_hidden_states.astype(dtype, copy=False))
        rows = 2 if is_guided(settings.guidance_scale) else 1
        state = run.sampler.start(plan, run.latents)
        paths = run.noise.paths(plan, run.latents.shape[1:])
        for index, timestep in enumerate(plan.timesteps):
            sample = (state.x * plan.input_scale[index]).astype(dtype, copy=False)
            noise_pred = unet(
                sample=np.concatenate([sample] * rows),
                timestep=np.full(rows * len(sample), timestep, dtype),
            )["noise_pred"]
            unconditional = None
            if rows == 2:
                if run.sampler.guided_twice:
                    unconditional = noise_pred[: len(sample)].astype(self.numerics, copy=False)
                noise_pred = guide(noise_pred, settings.guidance_scale, settings.guidance_rescale)
            fresh = run.noise.step(plan, index, paths, state.x.shape[1:])
            output = noise_pred.astype(self.numerics, copy=False)
            state = run.sampler.step(plan, state, output, fresh, unconditional_output=unconditional)
            latents = state.x.view()
            latents.flags.writeable = False
            yield Step(index, plan.num_calls, float(timestep), latents, state, self.decode)


def _streams(options: GenerateOptions) -> tuple[NoiseChoice, NoiseChoice | None]:
    """The streams of the latents and of the scheduler."""
    rng = options.get("rng")
    return "torch" if rng is None else rng, options.get("sampler_rng")


def _first(*values: T | None) -> T:
    """The first value that is given."""
    return next(value for value in values if value is not None)
