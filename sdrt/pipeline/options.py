"""The options of a call of ``generate``."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypedDict, cast

from sdrt.errors import ConfigError
from sdrt.pipeline.conditions.pictures import Picture
from sdrt.pipeline.noise import NoiseChoice
from sdrt.prompt import Emphasis, LongPrompts, PromptSyntax
from sdrt.schedulers import Compat, DiffusersScheduler, Sampler

__all__ = ["GenerateOptions", "current_spellings"]


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
    """How weights are applied: ``original`` unless given, which keeps each chunk's mean, or ``no_norm``."""
    clip_skip: int | None
    """Last layers of the text encoder to leave out, as diffusers counts (AUTOMATIC1111's number less 1); None and 0: none.

    The negative prompt leaves them out too; diffusers 0.42.1 forgets that."""
    guidance_batching: Literal["batched", "sequential"] | None
    """Whether rows (images, with and without the prompt) go through the U-Net together, or one after the other in less memory."""
    image: "Picture | None"
    """For a model that in-paints: the picture, a PIL image or uint8[H,W,3]."""
    mask_image: "Picture | None"
    """For a model that in-paints: what is white in it is drawn anew."""
    control_image: "Picture | Sequence[Picture] | None"
    """A picture for each ControlNet."""
    controlnet_conditioning_scale: float | Sequence[float] | None
    """How strongly ControlNets lead: one number for all, or one for each; None: 1."""
    control_guidance_start: float | Sequence[float] | None
    """Share of the run from which on they do; None: 0."""
    control_guidance_end: float | Sequence[float] | None
    """Share of the run up to which they do; None: 1."""
    original_size: tuple[int, int] | None
    """SDXL: height and width that the picture is to look as if it had had before scaling; None: its own."""
    crops_coords_top_left: tuple[int, int] | None
    """SDXL: how far it is to look cropped from the top and the left; None: (0, 0)."""
    target_size: tuple[int, int] | None
    """SDXL: None: the picture's own size."""
    aesthetic_score: float | None
    """SDXL's refiner; None: 6."""
    negative_aesthetic_score: float | None
    """SDXL's refiner, for the negative prompt; None: 2.5."""
    refiner_start: float | None
    """Share of the noise levels after which the refiner takes over, where there is one; None: 0.8."""
    compat: Compat
    """Whose defects the scheduler reproduces, ``diffusers`` or ``apple``; None: what is right. With ``diffusers`` prompts too are read as
    there: plain and cut, unless ``prompt_syntax`` and ``long_prompts`` say otherwise, and clip_skip for the prompt alone."""


def current_spellings(options: Mapping[str, Any], stacklevel: int = 3) -> GenerateOptions:
    """Return the options as they are spelled today: 0.1.0 wrote ``cfg`` for ``guidance_batching``, and ``no norm`` for ``no_norm``.

    Parameters
    ----------
    options : mapping
        Returned as it is where nothing in it is old.
    stacklevel : int
        Which frame the DeprecationWarning is shown for, as :func:`warnings.warn` counts them; 3 is the caller's caller.

    Raises
    ------
    ConfigError : ``cfg`` with a number, which means ``guidance_scale``, or beside ``guidance_batching``
    """
    if "cfg" in options:
        rest = {name: value for name, value in options.items() if name != "cfg"}
        cfg = options["cfg"]
        if isinstance(cfg, int | float):
            raise ConfigError(f"cfg must be 'batched' or 'sequential', got {cfg!r}; the strength of guidance is guidance_scale={cfg!r}")
        if "guidance_batching" in options:
            raise ConfigError("cfg is the old name of guidance_batching, got both; leave cfg out")
        warnings.warn(f"cfg={cfg!r} is deprecated; write guidance_batching={cfg!r}", DeprecationWarning, stacklevel=stacklevel)
        options = rest | {"guidance_batching": cfg}
    if options.get("emphasis") == "no norm":
        warnings.warn("emphasis='no norm' is deprecated; write emphasis='no_norm'", DeprecationWarning, stacklevel=stacklevel)
        options = {**options, "emphasis": "no_norm"}
    return cast("GenerateOptions", options)
