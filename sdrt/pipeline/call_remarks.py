"""What is to be said about one call: text that was cut or is foreign, and options without effect."""

from collections.abc import Sequence

from sdrt.arrays import F32
from sdrt.guidance import Guidance
from sdrt.pipeline.conditions.prompt_texts import RunTexts
from sdrt.pipeline.conditions.source import Source
from sdrt.pipeline.conditions.source_choice import PADDING
from sdrt.pipeline.guidance_choice import unguided_options
from sdrt.pipeline.options import GenerateOptions
from sdrt.pipeline.series import without_effect
from sdrt.printable import shown
from sdrt.prompt import foreign_syntax, without_lora_tags
from sdrt.records.settings import Settings
from sdrt.schedulers import Plan

__all__ = ["call_remarks", "region_remarks", "source_remarks", "text_remarks"]


def call_remarks(settings: Settings, truncated: tuple[str, str], guidances: Sequence[Guidance], plan: Plan) -> dict[str, str]:
    """Return the remarks of a call.

    Parameters
    ----------
    settings : Settings
    truncated : the parts of the prompt and of the negative prompt that were cut
    guidances : sequence of Guidance
        One after the other in the run.
    plan : Plan
    """
    # nothing is foreign to plain text
    texts = settings.encoder_texts if settings.prompt_syntax != "plain" else ()
    full = settings.prompt_syntax == "full"
    pairs = dict.fromkeys(pair for each in texts for pair in each)
    read = dict.fromkeys(each for prompt, negative in pairs for each in ((negative, True), (without_lora_tags(prompt), False)))
    remarks = {topic: remark for text, negative in read for topic, remark in foreign_syntax(text, full=full, negative=negative).items()}
    cut = zip(("prompt", "negative prompt"), truncated, strict=True)
    remarks |= {f"truncated {name}": f"the {name} is too long: {shown(text)} was cut off" for name, text in cut if text}
    return remarks | {f"ignored {name}": reason for name, reason in _without_effect(settings, guidances, plan).items()}


def text_remarks(texts: RunTexts, plan: Plan, at: int) -> dict[str, str]:
    """Return what is to be said of texts that change at a step which the run does not reach."""
    if texts.unreached is None:
        return {}
    made = sum(call >= at for call in plan.starts)
    return {"ignored prompt editing": f"a prompt changes after step {texts.unreached}, and this run makes {made} of {len(plan.starts)}"}


def region_remarks(shares: F32 | None) -> dict[str, str]:
    """Return what is to be said of regions by their shares of the latents: see `sdrt.pipeline.conditions.regions`."""
    if shares is None:
        return {}
    empty = [str(k) for k, share in enumerate(shares) if k and not share.any()]
    remarks = {"empty region": f"region_mask is black for region {', '.join(empty)}, whose prompt has no effect"} if empty else {}
    return remarks if shares[0].any() else remarks | {"ignored prompt": "the masks of regions leave no room for it"}


def source_remarks(options: GenerateOptions, source: Source | None, pixels: int) -> dict[str, str]:
    """Return the remarks of what a call changes.

    Parameters
    ----------
    options : GenerateOptions
    source : Source or None
        What is left of these options.
    pixels : int
        Of a latent, along each side.
    """
    if source is None:
        passed = [name for name in ("image", "image_latents") if options.get(name) is not None]
        return {f"ignored {name}": "Apple's package draws from noise alone at strength 1" for name in passed}
    remarks = {f"ignored {name}": reason for name, reason in _unread_of(source, options).items()}
    if source.soft_masks and not all(mask.any() for mask in source.latent_mask(pixels)):
        remarks["empty mask"] = f"nothing is redrawn where mask_image leaves no cell of {pixels} x {pixels} pixels white"
    return remarks


def _unread_of(source: Source, options: GenerateOptions) -> dict[str, str]:
    """Return the options of pictures and masks that this call does not read, each with the reason."""
    choice, reasons = source.choice, {}
    if not choice.only_masked and choice.only_masked_padding != PADDING:
        reasons["only_masked_padding"] = "only_masked is off"
    if choice.only_masked and choice.resize != "stretch":
        reasons["resize"] = "the part around the mask is cut out in the proportions that are drawn"
    if source.starts_from_noise and choice.masked_content == "noise" and choice.mask_mode != "strength":
        reasons["masked_content"] = "a run of strength 1 starts from noise in any case"
    if not choice.images and options.get("paste"):
        reasons["paste"] = "image_latents have no pixels to put back"
    return reasons


def _without_effect(settings: Settings, guidances: Sequence[Guidance], plan: Plan) -> dict[str, str]:
    """Return the options that this call does not read, each with the reason."""
    reasons = dict(without_effect(settings))
    reasons |= unguided_options(settings, guidances)
    if not any(plan.draws):
        names = [name for name in ("sampler_rng", "sampler_seed") if getattr(settings, name) is not None]
        reasons |= dict.fromkeys(names, f"{settings.scheduler} draws no fresh noise")
    return reasons
