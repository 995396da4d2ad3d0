"""From a resolved call to its run: draw the initial noise, open the networks, encode prompts and pictures."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial

import numpy as np

from sdrt.arrays import Float, float_dtype
from sdrt.backends import PLAIN
from sdrt.backends.pool import CheckedNetwork
from sdrt.guidance import Guidance, Row, text_rows
from sdrt.pipeline.assembly import Assembly
from sdrt.pipeline.conditions.adapter_features import adapter_features
from sdrt.pipeline.conditions.addition import Addition
from sdrt.pipeline.conditions.image_prompts import encode_image_prompts
from sdrt.pipeline.conditions.inpaint import inpaint_channels
from sdrt.pipeline.conditions.pictures import encode_pictures
from sdrt.pipeline.conditions.source import Source
from sdrt.pipeline.denoiser import Conditions, Denoiser
from sdrt.pipeline.held import Held
from sdrt.pipeline.keep import Keep, KeepByStrength, KeepShare, KeptPicture, keep_nothing
from sdrt.pipeline.loaded_model import LoadedModel
from sdrt.pipeline.progress import Report
from sdrt.pipeline.resolve import Resolved
from sdrt.pipeline.run import Phase, Run
from sdrt.pipeline.start import Start, from_latents, from_noise
from sdrt.pipeline.stretches import Stretch
from sdrt.records.settings import Settings

__all__ = ["Drawn", "draw", "prepare"]


@dataclass(frozen=True, eq=False)
class Drawn:
    """The noise that a run draws before its first call.

    Parameters
    ----------
    noise : float[n,C,h,w]
        Standard normal noise for the start, of the run's dtype.
    source : float32[n,C,h,w] or None
        Noise for the posterior of the picture that the run starts from.
    masked : float32[n,C,h,w] or None
        Noise for the posterior of that picture without what is drawn anew.

    Both are None, too, for an autoencoder whose encoder gives latents and no posterior.
    """

    noise: Float
    source: Float | None
    masked: Float | None


def draw(assembly: Assembly, resolved: Resolved) -> Drawn:
    """Draw all noise that comes before the sampler's, in the order of diffusers' pipelines.

    Source: diffusers 0.42.1 ``StableDiffusionImg2ImgPipeline.prepare_latents`` and ``StableDiffusionInpaintPipeline``, which draws for the
    masked picture even where its U-Net takes none; Apple's package draws for the picture last.
    """
    noise, shape, source = resolved.noise, resolved.latents_shape, resolved.source
    has_posterior = assembly.base.has_posterior
    encodes = source is not None and source.needs_latents and bool(source.pictures) and has_posterior
    late = resolved.settings.compat == "apple"
    pictures = 0 if source is None else len(source.pictures)
    posterior = noise.posterior(shape, pictures) if encodes and not late else None
    latents = noise.latents(shape) if resolved.latents is None else resolved.latents
    if encodes and late:
        posterior = noise.posterior(shape, pictures)
    hides = source is not None and bool(source.pictures) and bool(source.soft_masks) and has_posterior
    masked = noise.posterior(shape, pictures) if hides else None
    return Drawn(latents.astype(float_dtype(assembly.numerics), copy=False), posterior, masked)


def prepare(assembly: Assembly, resolved: Resolved, drawn: Drawn, report: Report) -> Run:
    """Open the networks, encode their conditions, and lay out the phases.

    Raises
    ------
    Cancelled : the caller cancelled before a network was opened, or a prompt or picture encoded
    """
    settings, base, source, stretches = resolved.settings, assembly.base, resolved.source, resolved.stretches
    for open_network in report.each("load", list(_closed_networks(assembly, resolved))):
        open_network()
    of_images = {(each.refines, each.prompts): resolved.prompts[each.prompts][1][each.refines] for each in stretches}
    # images that share their texts, and texts that come back, are encoded once
    distinct = {id(prompts): (refines, prompts) for (refines, _), images in of_images.items() for prompts in images}
    pieces = len(distinct) + (source is not None) + bool(resolved.adapters) + bool(resolved.image_prompts)
    encoded: dict[int, Mapping[Row, Mapping[str, Float]]] = {}
    for done, (key, (refines, prompts)) in enumerate(distinct.items()):
        report("encode", done, pieces)
        encoded[key] = assembly.models[refines].encode(prompts, settings, resolved.sizes, text_rows(resolved.rows))
    channels = None
    start = from_noise(resolved.plan, drawn.noise)
    if source is not None:
        report("encode", len(distinct), pieces)
        start = _start_from(source, base, resolved, drawn)
        if base.inpaints:
            channels = inpaint_channels(base.networks, source, drawn.masked, base.latent_format, settings.num_images)
    if resolved.adapters:
        report("encode", pieces - 1 - bool(resolved.image_prompts), pieces)
    additions: list[Addition] = [*adapter_features(assembly.t2i_adapters, resolved.adapters, base.model.config("unet"))]
    if assembly.image_prompter is not None:
        report("encode", pieces - 1, pieces)
        additions.append(encode_image_prompts(assembly.image_prompter, resolved.image_prompts, settings.height, settings.width))
    held = {
        refines: Held(_networks(assembly, resolved, refines=refines), sum(each.refines == refines for each in stretches))
        for refines in {refines for refines, _ in of_images}
    }

    def phase(stretch: Stretch) -> Phase:
        own = [encoded[id(prompts)] for prompts in of_images[stretch.refines, stretch.prompts]]
        guidance = stretch.guidance
        whole = Conditions(own, guidance.unet_inputs, channels, resolved.controls, additions)
        conditions = Conditions(own) if stretch.refines else whole
        return Phase(stretch.begins, guidance, _denoiser(held[stretch.refines], conditions, guidance, settings))

    return Run(
        settings=settings,
        sampler=resolved.sampler,
        plan=resolved.plan,
        timesteps=resolved.timesteps,
        start=start,
        noise=resolved.noise,
        phases=tuple(map(phase, stretches)),
        decode=lambda latents, first, kind: assembly.decode(latents, Report(), resolved.finish, first, kind)[0],
        observer=assembly.observer,
    )


def _start_from(source: Source, model: LoadedModel, resolved: Resolved, drawn: Drawn) -> Start:
    """Return the start of a run that changes pictures or latents, which it encodes where it needs their latents."""
    noise, plan, sampler = drawn.noise, resolved.plan, resolved.sampler
    if not source.needs_latents:
        return from_noise(plan, noise)
    if source.latents is not None:
        clean = np.repeat(source.latents, len(noise) // len(source.latents), axis=0)
    else:
        clean = encode_pictures(model.networks, source.contents, drawn.source, model.latent_format, source.functions, len(noise))
    clean = clean.astype(noise.dtype, copy=False)
    keep: Keep = keep_nothing
    if source.keeps:
        mask = source.latent_mask(model.latent_format.pixels)
        kept = KeptPicture(sampler, clean, noise, mask)
        keep = KeepByStrength(kept, resolved.at) if source.choice.mask_mode == "strength" else KeepShare(kept)
    if source.starts_from_noise:
        return from_noise(plan, noise, keep)
    if source.choice.masked_content == "noise":
        clean = np.where(source.latent_mask(model.latent_format.pixels) > 0, noise, clean)
    return from_latents(sampler, plan, resolved.at, clean, noise, keep)


def _closed_networks(assembly: Assembly, resolved: Resolved) -> Iterator[Callable[[], object]]:
    """Yield a function that opens each network that denoising needs, that is not open yet, and that would stay open."""
    encodes = resolved.source is not None and bool(resolved.source.pictures)
    wanted = [
        (model.networks, component, options)
        for model in (assembly.models if resolved.refiner_begins is not None else (assembly.base,))
        for component, options in model.denoising_networks(
            resolved.settings,
            resolved.rows,
            resolved.unet_options_of(refines=model is not assembly.base),
            encodes=encodes and model is assembly.base,
        )
    ]
    wanted += [(controlnet, "controlnet", PLAIN) for controlnet in assembly.controlnets]
    wanted += [(adapter, "t2i_adapter", PLAIN) for adapter in assembly.t2i_adapters]
    for pool, component, options in wanted:
        if pool.keep_loaded and not pool.is_open(component, options):
            yield partial(pool.get, component, options)


@dataclass(frozen=True, eq=False)
class _Networks:
    """What denoises, open.

    Parameters
    ----------
    unets : mapping from each row of the run
    controlnets : sequence
    """

    unets: Mapping[Row, CheckedNetwork]
    controlnets: Sequence[CheckedNetwork]


def _networks(assembly: Assembly, resolved: Resolved, *, refines: bool) -> Callable[[], AbstractContextManager[_Networks]]:
    """Return a function that opens the networks of the base model or of the refiner."""
    model, options = assembly.models[refines], resolved.unet_options_of(refines=refines)

    @contextmanager
    def opened() -> Iterator[_Networks]:
        with ExitStack() as stack:
            denoiser = model.family.denoiser
            distinct = {each: stack.enter_context(model.networks.using(denoiser, each)) for each in options.distinct(resolved.rows)}
            controlnets = () if refines else assembly.controlnets
            nets = [stack.enter_context(controlnet.using("controlnet")) for controlnet in controlnets]
            yield _Networks({row: distinct[options.of(row)] for row in resolved.rows}, nets)

    return opened


def _denoiser(
    held: Held[_Networks], conditions: Conditions, guidance: Guidance, settings: Settings
) -> Callable[[], AbstractContextManager[Denoiser]]:
    """Return a function that binds networks to the conditions of one stretch."""

    @contextmanager
    def opened() -> Iterator[Denoiser]:
        with held.using() as networks:
            sequential = settings.guidance_batching == "sequential"
            yield Denoiser(networks.unets, networks.controlnets, conditions, guidance.rows, settings.num_images, sequential=sequential)

    return opened
