"""From a resolved call to its run: draw the initial noise, open the networks, encode prompts and pictures."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial

from sdrt.arrays import Float, float_dtype
from sdrt.backends import PLAIN
from sdrt.backends.pool import NetworkPool
from sdrt.guidance import Guidance
from sdrt.pipeline.assembly import Assembly
from sdrt.pipeline.conditions.inpaint import inpaint_channels
from sdrt.pipeline.denoiser import Conditions, Denoiser
from sdrt.pipeline.loaded_model import LoadedModel
from sdrt.pipeline.progress import Report
from sdrt.pipeline.resolve import Resolved
from sdrt.pipeline.run import Phase, Run
from sdrt.pipeline.start import Start, from_noise
from sdrt.records.settings import Settings

__all__ = ["Drawn", "draw", "prepare"]


@dataclass(frozen=True, eq=False)
class Drawn:
    """The noise that a run draws before its first call.

    Parameters
    ----------
    start : Start
    posterior : float32[n,C,h,w] or None
        Noise for the VAE's posterior of an input picture.
    """

    start: Start
    posterior: Float | None


def draw(assembly: Assembly, resolved: Resolved) -> Drawn:
    """Draw the noise of the start, then that of an input picture's posterior: the order of diffusers."""
    noise, shape = resolved.noise, resolved.latents_shape
    start = from_noise(noise, resolved.plan, shape, float_dtype(assembly.numerics))
    return Drawn(start, None if resolved.inpaint is None else noise.posterior(shape))


def prepare(assembly: Assembly, resolved: Resolved, drawn: Drawn, report: Report) -> Run:
    """Open the networks, encode their conditions, and lay out the phases.

    Raises
    ------
    Cancelled : the caller cancelled before a network was opened, or a prompt or picture encoded
    """
    settings, guidance, base = resolved.settings, resolved.guidance, assembly.base
    for open_network in report.each("load", list(_closed_networks(assembly, resolved))):
        open_network()
    refiner = None if resolved.refiner_begins is None else assembly.refiner
    encoded = [base] if refiner is None else [base, refiner]
    pieces = len(encoded) + (resolved.inpaint is not None)
    texts = []
    for k, model in enumerate(encoded):
        report("encode", k, pieces)
        texts.append(model.encode(resolved.prompts[k], settings, resolved.sizes, guidance.rows))
    channels = None
    if resolved.inpaint is not None and drawn.posterior is not None:
        report("encode", len(encoded), pieces)
        channels = inpaint_channels(base.networks, resolved.inpaint, drawn.posterior, base.latent_format)
    conditions = Conditions(texts[0], guidance.unet_inputs, channels, resolved.controls)
    phases = [Phase(0, guidance, _networks(base, assembly.controlnets, conditions, guidance, settings))]
    if refiner is not None and resolved.refiner_begins is not None:
        phases.append(Phase(resolved.refiner_begins, guidance, _networks(refiner, (), Conditions(texts[1]), guidance, settings)))
    return Run(
        settings=settings,
        sampler=resolved.sampler,
        plan=resolved.plan,
        timesteps=resolved.timesteps,
        start=drawn.start,
        noise=resolved.noise,
        phases=tuple(phases),
        decode=lambda latents: assembly.decode(latents, Report(), resolved.finish)[0],
    )


def _closed_networks(assembly: Assembly, resolved: Resolved) -> Iterator[Callable[[], object]]:
    """Yield a function that opens each network that denoising needs, that is not open yet, and that would stay open."""
    wanted = [
        (model.networks, component, options)
        for model in (assembly.models if resolved.refiner_begins is not None else (assembly.base,))
        for component, options in model.denoising_networks(resolved.settings, resolved.guidance.rows)
    ]
    wanted += [(controlnet, "controlnet", PLAIN) for controlnet in assembly.controlnets]
    for pool, component, options in wanted:
        if pool.keep_loaded and not pool.is_open(component, options):
            yield partial(pool.get, component, options)


def _networks(
    model: LoadedModel, controlnets: Sequence[NetworkPool], conditions: Conditions, guidance: Guidance, settings: Settings
) -> Callable[[], AbstractContextManager[Denoiser]]:
    """Return a function that opens a model's denoiser under these conditions."""

    @contextmanager
    def opened() -> Iterator[Denoiser]:
        with ExitStack() as stack:
            unet = stack.enter_context(model.networks.using(model.family.denoiser))
            nets = [stack.enter_context(controlnet.using("controlnet")) for controlnet in controlnets]
            sequential = settings.guidance_batching == "sequential"
            yield Denoiser(unet, nets, conditions, guidance.rows, settings.num_images, sequential=sequential)

    return opened
