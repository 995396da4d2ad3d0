"""Resolve a call: its options become settings and all the objects of its run; nothing reads the options afterwards."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Optional, TypeAlias, TypeVar

from sdrt._version import __version__
from sdrt.arrays import Array, Float
from sdrt.backends import PLAIN
from sdrt.errors import ConfigError
from sdrt.guidance import Guidance, Row, compose
from sdrt.models.families import MicroConditions
from sdrt.models.hub import commit_of
from sdrt.pipeline.assembly import Assembly
from sdrt.pipeline.call_checks import check_amounts, check_latents, check_model_limits, check_size, count_images
from sdrt.pipeline.call_remarks import call_remarks, region_remarks, source_remarks, text_remarks
from sdrt.pipeline.conditions.adapter_features import AdapterInput, read_adapters
from sdrt.pipeline.conditions.choices import ConditionChoices, choose_conditions
from sdrt.pipeline.conditions.control import Control
from sdrt.pipeline.conditions.control_pictures import read_controls
from sdrt.pipeline.conditions.image_prompt_choice import ImagePromptChoice
from sdrt.pipeline.conditions.prompt_texts import needed_syntax, run_texts
from sdrt.pipeline.conditions.regions import RegionChoice, choose_regions, region_shares
from sdrt.pipeline.conditions.source import Source, read_source
from sdrt.pipeline.defaults import default_remarks, default_size, defaults_of
from sdrt.pipeline.guidance_choice import choose_guidances, record_guidance
from sdrt.pipeline.input_files import FILE_OPTIONS
from sdrt.pipeline.latent_resizing import LatentResizing
from sdrt.pipeline.loras import recorded, tags_of
from sdrt.pipeline.noise import NoiseChoice, RunNoise, choice_name, open_noise, shared_states
from sdrt.pipeline.options import GenerateOptions
from sdrt.pipeline.scheduler_choice import (
    beyond_config,
    choose_sampler,
    image_seq_len,
    lay_out,
    network_timesteps,
    scheduler_name,
    scheduler_remarks,
)
from sdrt.pipeline.series import Series, read_series, variation_of
from sdrt.pipeline.stretches import RunPrompts, Since, Stretch, distinct_rows, lay_out_stretches, tokenize_run
from sdrt.pipeline.unet_options import PLAIN_UNET, UNetOptions, read_unet_options, record_unet_options
from sdrt.prompt import PromptSyntax
from sdrt.records.settings import Settings
from sdrt.rng import canonical_name
from sdrt.rng import from_state as stream_from_state
from sdrt.schedulers import Plan, Sampler
from sdrt.upscaling import Upscaler

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["Enlarger", "Resolved", "resolve"]


T = TypeVar("T")

# Makes the start of a second pass from what the first has drawn: from its latents, or from its pictures.
Enlarger: TypeAlias = LatentResizing | Upscaler


@dataclass(frozen=True, eq=False, kw_only=True)
class Resolved:
    """A call, checked and complete, before any network is opened or any noise is drawn.

    Parameters
    ----------
    assembly : Assembly
        The pipeline's, with the LoRAs that the prompt names.
    settings : Settings
        The record of everything that decides the pictures.
    sampler : Sampler
    plan : Plan
    at : int
        The first call.
    timesteps : i64[calls] or f64[calls]
        The plan's timesteps, rounded as the networks take them.
    guidances : since
        How predictions are combined, from each call of the plan on at which that changes.
    unet_options : UNetOptions
        Of the base model.
    noise : RunNoise
    latents_shape : (C, h, w)
        Of one image.
    prompts : since
        The prompts of the base model, and of the refiner where there is one, from each call of the plan on at which they change.
    sizes : MicroConditions
    source : Source or None
        What the run changes; None for text to image.
    latents : float[n,C,h,w] or None
        The caller's noise for the start, in place of the streams' own.
    controls : tuple of Control
        One for each ControlNet.
    adapters : tuple of AdapterInput
        One for each T2I-Adapter.
    image_prompts : tuple of ImagePromptChoice
        One for each IP-Adapter.
    refiner_begins : int or None
        The call at which the refiner takes over; None if it never does.
    inputs : mapping
        The options that are pictures or arrays, as the caller passed them.
    then : Resolved or None
        The pass that goes on with what this one has drawn, see `sdrt.pipeline.hires`.
    enlarger : Enlarger or None
        Of such a pass.
    """

    assembly: Assembly
    settings: Settings
    sampler: Sampler
    plan: Plan
    at: int
    timesteps: Array
    guidances: Since[Guidance]
    unet_options: UNetOptions
    noise: RunNoise
    latents_shape: tuple[int, int, int]
    prompts: Since[RunPrompts]
    sizes: MicroConditions
    source: Source | None
    latents: Float | None
    controls: tuple[Control, ...]
    adapters: tuple[AdapterInput, ...]
    image_prompts: tuple[ImagePromptChoice, ...]
    refiner_begins: int | None
    inputs: Mapping[str, Any]
    then: Optional["Resolved"] = None
    enlarger: Enlarger | None = None

    @property
    def passes(self) -> tuple["Resolved", ...]:
        """The pass itself, and those that go on with what it has drawn."""
        return (self, *(() if self.then is None else self.then.passes))

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seed of each image."""
        return self.settings.image_seeds

    @property
    def finish(self) -> "Callable[[Image, int], Image] | None":
        """What becomes of each decoded picture, by its index in the call: kept pixels are put back."""
        return None if self.source is None else self.source.paste

    @property
    def truncated(self) -> tuple[str, str]:
        """The parts of the prompt and of the negative prompt that do not fit."""
        return _truncated(self.prompts)

    @property
    def rows(self) -> tuple[Row, ...]:
        """All kinds of rows that the run predicts."""
        return distinct_rows(self.guidances)

    def unet_options_of(self, *, refines: bool) -> UNetOptions:
        """Return the options of the base model's U-Net or of the refiner's."""
        return PLAIN_UNET if refines else self.unet_options

    @property
    def stretches(self) -> tuple[Stretch, ...]:
        """The stretches of the run, each with one guidance, one set of prompts and one model."""
        return lay_out_stretches(self.guidances, self.prompts, self.refiner_begins, self.at, self.plan.num_calls)


def resolve(assembly: Assembly, prompt: str | Sequence[str], negative_prompt: str | Sequence[str], options: GenerateOptions) -> Resolved:
    """Fill in every default and check every option.

    Raises
    ------
    ConfigError : an option is unknown, does not fit the model, or is out of range
    ImageError : an option is not a picture where it must be one
    """
    base = assembly.base
    rng, sampler_rng = _streams(options)
    scheduler = options.get("scheduler")
    sampler = choose_sampler(base.model, scheduler, assembly.numerics, options.get("compat"), options.get("eta"), assembly.limits)
    series = read_series(prompt, negative_prompt, options, rng)
    regions = choose_regions(options)
    syntax, of_regions = _prompt_syntax(options, sampler, series, regions), tuple(region.prompt for region in regions)
    tags = () if syntax == "plain" else tags_of(series.prompts + of_regions, series.prompts_2)
    assembly = assembly.with_tags(tags)
    base = assembly.base
    choices = choose_conditions(assembly, options, sampler.compat)
    settings = _settings(assembly, series, options, sampler, (rng, sampler_rng), choices)
    settings = replace(settings, loras=recorded(assembly.loras, tags))
    check_amounts(settings, assembly.limits)
    check_size(settings, base.latent_format.pixels)
    check_model_limits(base.model.limits, settings)
    height, width, pixels = settings.height, settings.width, base.latent_format.pixels
    shape = (base.latent_format.channels, height // pixels, width // pixels)
    latents, choice = choices.latents, choices.source
    check_latents("latents", latents, settings.num_images, shape)
    if choice is not None:
        check_latents("image_latents", choice.latents, settings.num_images, shape)
    strength = None if choice is None else choice.strength
    plan, at = lay_out(
        sampler,
        settings.num_inference_steps,
        image_seq_len(*shape[1:]),
        assembly.limits,
        strength,
        distilled=base.guidance_size is not None,
    )
    if settings.guidance_rescale and base.guidance_size is not None:
        raise ConfigError(
            f"guidance_rescale must be 0 for this model, whose U-Net takes the scale as an input, got {settings.guidance_rescale:g}; "
            "leave it out"
        )
    refiner_begins = None if choices.refiner_start is None else _refiner_begins(plan, sampler, choices.refiner_start)
    guidances = choose_guidances(
        settings, sampler, plan, at, refiner_begins, embedding_size=base.guidance_size, functions=assembly.functions
    )
    texts = run_texts(settings.encoder_texts, of_regions, syntax, plan, at, assembly.limits)
    shares = region_shares(regions, height, width, pixels, assembly.functions)
    guidances = tuple((begins, compose(guidance, texts.prompts, shares)) for begins, guidance in guidances)
    unet_options = read_unet_options(settings.conditions, base.model.config(base.family.denoiser))
    for model, of_unet in zip(assembly.models, (unet_options, PLAIN_UNET), strict=False):
        for component, component_options in model.denoising_networks(
            settings, distinct_rows(guidances), of_unet, encodes=model is base and choice is not None and bool(choice.images)
        ):
            model.networks.check(component, component_options)
    for adapter in assembly.t2i_adapters:
        adapter.check("t2i_adapter", PLAIN)
    source = None if choice is None else read_source(choice, height, width, inpaints=base.inpaints, functions=assembly.functions)
    prompts = tokenize_run(texts.since, [partial(model.tokenize, settings=settings, limits=assembly.limits) for model in assembly.models])
    remarks = {
        **scheduler_remarks(base.model, scheduler),
        **call_remarks(settings, _truncated(prompts), [each for _, each in guidances], plan),
        **text_remarks(texts, plan, at),
        **region_remarks(shares),
        **source_remarks(options, source, pixels),
        **default_remarks(base, sampler, options),
    }
    if choices.refiner_start is not None and refiner_begins is None:
        remarks["ignored refiner"] = (
            f"none of the run's timesteps is below those where it begins, at refiner_start {choices.refiner_start:g}"
        )
    assembly.remark_log.tell(remarks)
    return Resolved(
        assembly=assembly,
        settings=replace(settings, remarks={**settings.remarks, **remarks}),
        sampler=sampler,
        plan=plan,
        at=at,
        timesteps=network_timesteps(plan.timesteps, *(model.model.limits.timestep_dtype for model in assembly.models)),
        guidances=guidances,
        unet_options=unet_options,
        noise=_open_noise(assembly, settings, pixels, rng, sampler_rng),
        latents_shape=shape,
        prompts=prompts,
        sizes=choices.sizes_of(height, width),
        source=source,
        latents=latents,
        controls=read_controls(choices.controls, height, width, source, assembly.functions),
        adapters=read_adapters(choices.adapters, height, width, source, assembly.functions),
        image_prompts=choices.image_prompts,
        refiner_begins=refiner_begins,
        inputs={name: value for name, value in options.items() if name in FILE_OPTIONS},
    )


def _settings(
    assembly: Assembly,
    series: Series,
    options: GenerateOptions,
    sampler: Sampler,
    streams: tuple[NoiseChoice, NoiseChoice | None],
    choices: ConditionChoices,
) -> Settings:
    base, (rng, sampler_rng) = assembly.base, streams
    model = base.model
    defaults = defaults_of(assembly, sampler)
    height, width = default_size(base, options)
    scheduler = options.get("scheduler")
    # the programs that compat names know no chunks
    as_others = sampler.compat is not None
    return Settings(
        **series.fields(),
        subseed_strength=_first(options.get("subseed_strength"), 0.0),
        seed_resize_from=options.get("seed_resize_from"),
        num_images=count_images(options.get("num_images"), series.counts | choices.counts),
        num_inference_steps=_first(options.get("num_inference_steps"), defaults["num_inference_steps"]),
        guidance_scale=_first(options.get("guidance_scale"), defaults["guidance_scale"]),
        guidance_rescale=_first(options.get("guidance_rescale"), 0.0),
        guidance_batching=_first(options.get("guidance_batching"), "batched"),
        eta=sampler.step_option_values().get("eta", 0.0),
        height=height,
        width=width,
        conditions=series.conditions() | choices.record() | record_guidance(options) | record_unet_options(options),
        scheduler=scheduler_name(model, sampler),
        scheduler_config=sampler.config,
        compat=sampler.compat,
        rng=rng if isinstance(rng, str) else rng.name,
        sampler_rng=choice_name(sampler_rng),
        sampler_seed=options.get("sampler_seed"),
        shared_streams=shared_states(rng=rng, sampler_rng=sampler_rng),
        prompt_syntax=_prompt_syntax(options, sampler, series, choices.regions),
        long_prompts=_first(options.get("long_prompts"), "truncate" if as_others or model.limits.num_tokens else "chunk"),
        emphasis=_first(options.get("emphasis"), "original"),
        clip_skip=_first(options.get("clip_skip"), 0),
        embeddings={each.token: each.sha256 for each in model.embeddings},
        model=model.name,
        backend=dict(assembly.backends),
        numerics=assembly.numerics,
        version=__version__,
        remarks={**assembly.notes, **assembly.remarks},
        scheduler_options=beyond_config(scheduler, sampler, assembly.numerics, assembly.limits),
        vae_tiling=assembly.vae_tiling,
        safety_checker=assembly.safety_checker,
        flagged_pictures=assembly.flagged_pictures,
        revision=commit_of(model.path) or "",
        weights=dict(assembly.weights) | (dict(assembly.encoder_weights) if choices.source is not None and choices.source.images else {}),
    )


def _truncated(prompts: Since[RunPrompts]) -> tuple[str, str]:
    """Return what is cut off from the prompt and from the negative prompt: of the first image of which something is."""
    # the last encoder's words, but for those that only an encoder before it reads
    each = [of_encoder.truncated for _, of_models in prompts for of_image in of_models[0] for of_encoder in list(of_image.values())[::-1]]
    return next((texts[0] for texts in each if texts[0]), ""), next((texts[1] for texts in each if texts[1]), "")


def _prompt_syntax(options: GenerateOptions, sampler: Sampler, series: Series, regions: Sequence[RegionChoice]) -> PromptSyntax:
    # the programs that compat names know no weights; a prompt that needs no more keeps the record that it always had
    prompts = (*series.prompts, *series.prompts_2, *(region.prompt for region in regions))
    negatives = (*series.negative_prompts, *series.negative_prompts_2)
    return _first(options.get("prompt_syntax"), "plain" if sampler.compat is not None else needed_syntax(prompts, negatives))


def _open_noise(assembly: Assembly, settings: Settings, pixels: int, rng: NoiseChoice, sampler_rng: NoiseChoice | None) -> RunNoise:
    variation, images = variation_of(settings, pixels, assembly.limits), settings.num_images
    seeds, separate = (settings.image_seeds, settings.sampler_seed), settings.compat == "apple"
    return open_noise(rng, sampler_rng, *seeds, images, variation, assembly.numerics, separate=separate)


def _streams(options: GenerateOptions) -> tuple[NoiseChoice, NoiseChoice | None]:
    """Return the streams of the latents and of the scheduler; a recorded state becomes its stream."""
    rng, sampler_rng = (
        stream_from_state(choice) if isinstance(choice, Mapping) else canonical_name(choice) if isinstance(choice, str) else choice
        for choice in (options.get("rng"), options.get("sampler_rng"))
    )
    # the same object twice is one stream, which the sampler continues
    return "torch" if rng is None else rng, None if sampler_rng is rng and not isinstance(rng, str) else sampler_rng


def _refiner_begins(plan: Plan, sampler: Sampler, refiner_start: float) -> int | None:
    """Return the call at which the refiner takes over: the first step below its fraction of the noise levels, as diffusers counts it."""
    cutoff = round(sampler.num_train_timesteps * (1 - refiner_start))
    return next((i for i in plan.starts if plan.timesteps[i] < cutoff), None)


def _first(*values: T | None) -> T:
    """Return the first value that is not None."""
    return next(value for value in values if value is not None)
