"""The options of ``generate`` in one table: their flags, how a flag writes the value, and their place in the record of a picture.

The command line is built from this table, which imports nothing of sdrt so that ``sdrt --help`` stays fast.
"""

from dataclasses import dataclass
from typing import Literal, TypeAlias

__all__ = ["OPTIONS", "Kind", "Option"]

Kind: TypeAlias = Literal[
    "integer",
    "integers",
    "number",
    "numbers",
    "name",
    "names",
    "choice",
    "choices",
    "switch",
    "pair",
    "factors",
    "scales",
    "picture",
    "pictures",
    "array",
    "text",
    "arrays",
    "texts",
    "group",
]


@dataclass(frozen=True, kw_only=True)
class Option:
    """One option of ``generate``.

    Parameters
    ----------
    name : str
        The keyword.
    kind : Kind
        How a value is written on the command line. ``integers`` are one, or several with commas between them; ``scales`` a choice, or
        numbers with commas; the flags of ``numbers``, ``choices``, ``names``, ``texts``, ``pictures`` and ``arrays`` may be repeated; a
        ``switch`` has a second flag that begins with ``--no-``; an ``array`` is a file; a ``group`` has no flag, because each option in it
        has one of its own.
    flags : tuple of str
    help : str
        For ``sdrt generate --help``: the effect, and the default in parentheses.
    record : str
        The field of ``Settings``, or ``conditions.KEY`` in it; empty for a group.
    section : str
        The heading under which the help lists it.
    choices : tuple of str
        The values of a choice.
    metavar : tuple of str
        The two numbers of a pair, or the several of ``factors``.
    """

    name: str
    kind: Kind
    flags: tuple[str, ...]
    help: str
    record: str
    section: str
    choices: tuple[str, ...] = ()
    metavar: tuple[str, ...] = ("HEIGHT", "WIDTH")


def _option(name: str, kind: Kind, section: str, text: str, *flags: str, record: str | None = None, **more: tuple[str, ...]) -> Option:
    flags = flags or (f"--{name.replace('_', '-')}",)
    return Option(name=name, kind=kind, section=section, help=text, flags=flags, record=record or name, **more)


_PICTURE, _SAMPLING, _PROMPT = "picture", "sampling and noise", "prompt"
_CONTROL, _CHANGE, _XL = "ControlNet", "changing a picture", "SDXL"
_GUIDANCE = "guidance"
_UNET = "what the U-Net computes"
_ADAPTER = "T2I-Adapter"
_LOOK = "IP-Adapter"
_HIRES = "hi-res fix"
_REGIONS = "regions with prompts of their own"

_ROWS = (
    _option(
        "seed",
        "integers",
        _PICTURE,
        "image k is drawn from seed + k; 1,5,9 is one for each image (default, as -1: a random one, which the file's name shows)",
    ),
    _option(
        "subseed", "integer", _PICTURE, "seed of the noise that --subseed-strength mixes in; image k has subseed + k (default: random)"
    ),
    _option(
        "subseed_strength",
        "number",
        _PICTURE,
        "0 to 1: the share of the subseed's noise; all images then have one seed (default: 0, no variation)",
    ),
    _option("seed_resize_from", "pair", _PICTURE, "resemble the picture that the seed gives at this size (default: the picture's own)"),
    _option("num_images", "integer", _PICTURE, "images of each prompt (default: 1)", "-n", "--num-images"),
    _option("height", "integer", _PICTURE, "pixels (default: those of --image, else the model's own)", "-H", "--height"),
    _option("width", "integer", _PICTURE, "pixels (default: those of --image, else the model's own)", "-W", "--width"),
    _option(
        "num_inference_steps",
        "integer",
        _SAMPLING,
        "denoising steps (default: the model's own, else 50)",
        "--steps",
        "--num-inference-steps",
    ),
    _option(
        "guidance_scale",
        "number",
        _SAMPLING,
        "strength of the prompt; 1 or less turns guidance off (default: the model's own, else 7.5)",
        "--guidance-scale",
        "--cfg-scale",
    ),
    _option(
        "guidance_rescale",
        "number",
        _SAMPLING,
        "0 to 1: restore the contrast that strong guidance exaggerates (default: 0, which does not)",
    ),
    _option(
        "guidance_batching",
        "choice",
        _SAMPLING,
        "run the U-Net on all rows at once, or one by one in less memory (default: batched)",
        choices=("batched", "sequential"),
    ),
    _option(
        "guidance_start",
        "number",
        _GUIDANCE,
        "fraction of the run's steps at which guidance begins; until then the prompt alone is predicted (default: 0)",
        record="conditions.guidance_start",
    ),
    _option(
        "guidance_end",
        "number",
        _GUIDANCE,
        "fraction of the run's steps at which guidance ends (default: 1)",
        record="conditions.guidance_end",
    ),
    _option(
        "guidance_schedule",
        "scales",
        _GUIDANCE,
        "how the scale changes from step to step: constant, linear or cosine; or the scale of each step, as 3,5,7 (default: constant)",
        record="conditions.guidance_schedule",
        choices=("constant", "linear", "cosine"),
    ),
    _option(
        "apg",
        "factors",
        _GUIDANCE,
        "adaptive projected guidance, for high scales without saturated colours; try 0 15 -0.5 (default: none)",
        record="conditions.apg",
        metavar=("ETA", "NORM_THRESHOLD", "MOMENTUM"),
    ),
    _option(
        "dynamic_thresholding",
        "factors",
        _GUIDANCE,
        "keep the range of values that a lower scale gives; try 0.995 7 (default: none)",
        record="conditions.dynamic_thresholding",
        metavar=("PERCENTILE", "MIMIC_SCALE"),
    ),
    _option("scheduler", "name", _SAMPLING, "a name that 'sdrt schedulers' lists (default: the model's own)", record="scheduler_config"),
    _option(
        "eta", "number", _SAMPLING, "amount of fresh noise a step, for ddim, tcd and ancestral samplers (default: the scheduler's own)"
    ),
    _option("rng", "name", _SAMPLING, "noise stream: torch, torch-scalar, nv, numpy, generator or libstdc++ (default: torch)"),
    _option("sampler_rng", "name", _SAMPLING, "a separate noise stream for the scheduler (default: the image's own)"),
    _option("sampler_seed", "integer", _SAMPLING, "seed of the scheduler's noise stream (default: the image's)"),
    _option(
        "compat",
        "choice",
        _SAMPLING,
        "reproduce the known bugs of this implementation (default: none)",
        choices=("diffusers", "apple"),
    ),
    _option(
        "prompt_syntax",
        "choice",
        _PROMPT,
        "full reads (word:1.3), BREAK, [from:to:0.5], [one|other] and AND; weighted the first two; plain none (default: full)",
        choices=("full", "weighted", "plain"),
    ),
    _option(
        "long_prompts",
        "choice",
        _PROMPT,
        "encode a prompt in chunks of 75 tokens, or drop what exceeds one; pad fills up a shorter negative prompt (default: chunk)",
        choices=("chunk", "pad", "truncate"),
    ),
    _option(
        "emphasis",
        "choice",
        _PROMPT,
        "whether the mean of each chunk is restored after weights are applied (default: original, which does)",
        choices=("original", "no_norm"),
    ),
    _option("clip_skip", "integer", _PROMPT, "last layers of the text encoder to skip; AUTOMATIC1111's number less 1 (default: 0)"),
    _option("image", "pictures", _CHANGE, "the picture to change; give it again for one for each image (-n)", record="conditions.image"),
    _option(
        "strength",
        "number",
        _CHANGE,
        "how much to change it: the share of the steps that is made, up to 1 (default: 0.8, and 1 with a mask)",
        record="conditions.strength",
    ),
    _option(
        "resize",
        "choice",
        _CHANGE,
        "how it takes another size: stretch, crop (cut the middle out) or fit (with borders) (default: stretch)",
        record="conditions.resize",
        choices=("stretch", "crop", "fit"),
    ),
    _option(
        "background",
        "name",
        _CHANGE,
        "the colour behind its transparent parts, a name or #rrggbb (default: white)",
        record="conditions.background",
    ),
    _option("image_latents", "array", _CHANGE, "a .npy file of latents in place of the picture", record="conditions.image_latents"),
    _option("latents", "array", _SAMPLING, "a .npy file of noise to start from (default: that of the seed)", record="conditions.latents"),
    _option(
        "mask_image",
        "pictures",
        _CHANGE,
        "what of it to redraw: what is white in this picture, or opaque if it has transparency",
        record="conditions.mask_image",
    ),
    _option(
        "mask_mode",
        "choice",
        _CHANGE,
        "grey in a mask: binary redraws from half white on, soft mixes at each step, strength redraws in as many of the last steps as it "
        "is white (default: binary)",
        record="conditions.mask_mode",
        choices=("binary", "soft", "strength"),
    ),
    _option("mask_blur", "number", _CHANGE, "soften the mask's edge by so many pixels (default: 0)", record="conditions.mask_blur"),
    _option(
        "masked_content",
        "choice",
        _CHANGE,
        "what is under the mask at the start: original, fill (the colours around) or noise (default: original)",
        record="conditions.masked_content",
        choices=("original", "fill", "noise"),
    ),
    _option(
        "only_masked",
        "switch",
        _CHANGE,
        "draw only the part around the mask, at the model's own size, and paste it back (default: no)",
        record="conditions.only_masked",
    ),
    _option(
        "only_masked_padding",
        "integer",
        _CHANGE,
        "pixels around the mask that belong to that part (default: 32)",
        record="conditions.only_masked_padding",
    ),
    _option(
        "paste",
        "switch",
        _CHANGE,
        "put kept pixels back at the end, byte for byte (default: yes, but not with --compat diffusers)",
        record="conditions.paste",
    ),
    _option(
        "record_paths",
        "switch",
        _PICTURE,
        "note the paths of given pictures in the record, so that --from finds them (default: no)",
        record="conditions.record_paths",
    ),
    _option(
        "hires_scale",
        "number",
        _HIRES,
        "draw at the size above, enlarge so many times, and draw on from that (default: one pass)",
        record="conditions.hires_scale",
    ),
    _option(
        "hires_steps",
        "integer",
        _HIRES,
        "steps of the second plan, of which the share --hires-denoising is made (default: --steps)",
        record="conditions.hires_steps",
    ),
    _option(
        "hires_denoising",
        "number",
        _HIRES,
        "how much the second pass changes, above 0 and up to 1 (default: 0.7)",
        record="conditions.hires_denoising",
    ),
    _option(
        "hires_upscaler",
        "name",
        _HIRES,
        "what enlarges: latent, latent-antialiased, latent-bicubic, latent-bicubic-antialiased, latent-nearest, latent-nearest-exact, or "
        "of pictures lanczos, bicubic, nearest, or an upscaler's file or repository (default: latent)",
        record="conditions.hires_upscaler",
    ),
    _option("hires_scheduler", "name", _HIRES, "of the second pass (default: --scheduler)", record="conditions.hires_scheduler"),
    _option("hires_prompt", "text", _HIRES, "of the second pass (default: PROMPT)", record="conditions.hires_prompt"),
    _option(
        "hires_negative_prompt",
        "text",
        _HIRES,
        "of the second pass (default: --negative-prompt)",
        record="conditions.hires_negative_prompt",
    ),
    _option(
        "hires_guidance_scale",
        "number",
        _HIRES,
        "of the second pass (default: --guidance-scale)",
        record="conditions.hires_guidance_scale",
    ),
    _option(
        "control_image",
        "pictures",
        _CONTROL,
        "a picture to follow; give one for each --controlnet, in their order",
        record="conditions.control_image",
    ),
    _option(
        "controlnet_conditioning_scale",
        "numbers",
        _CONTROL,
        "strength of the ControlNets: one number for all, or the flag again for each (default: 1)",
        "--controlnet-scale",
        "--controlnet-conditioning-scale",
        record="conditions.controlnet_conditioning_scale",
    ),
    _option(
        "control_guidance_start",
        "numbers",
        _CONTROL,
        "fraction of the run at which they start to act; one number, or one for each (default: 0)",
        record="conditions.control_guidance_start",
    ),
    _option(
        "control_guidance_end",
        "numbers",
        _CONTROL,
        "fraction of the run at which they stop; one number, or one for each (default: 1)",
        record="conditions.control_guidance_end",
    ),
    _option(
        "control_mode",
        "choices",
        _CONTROL,
        "what leads where prompt and picture disagree; one for all, or the flag again for each (default: balanced)",
        record="conditions.control_mode",
        choices=("balanced", "prompt", "control"),
    ),
    _option(
        "guess_mode",
        "switch",
        _CONTROL,
        "let ControlNets act on the prediction with the prompt alone, as diffusers does (default: no)",
        record="conditions.guess_mode",
    ),
    _option(
        "control_type",
        "names",
        _CONTROL,
        "what a picture shows, for a union ControlNet: openpose, depth, scribble, canny, normal, segment, tile, repaint, or its number",
        record="conditions.control_type",
    ),
    _option(
        "control_preprocessor",
        "choices",
        _CONTROL,
        "what to make of a picture first; one for all, or the flag again for each (default: none)",
        record="conditions.control_preprocessor",
        choices=("none", "canny", "soft_edges", "scribble", "tile", "grey", "invert", "inpaint"),
    ),
    _option(
        "region_prompt",
        "texts",
        _REGIONS,
        "the prompt of a region; give the flag again for each, and a --region-mask",
        record="conditions.region_prompt",
    ),
    _option(
        "region_mask",
        "pictures",
        _REGIONS,
        "a picture that is white where that prompt counts; one for each --region-prompt, in their order",
        record="conditions.region_mask",
    ),
    _option(
        "region_weight",
        "numbers",
        _REGIONS,
        "how much a region counts where masks are grey or overlap; one number for all, or one for each (default: 1)",
        record="conditions.region_weight",
    ),
    Option(name="regions", kind="group", flags=(), help="", record="", section=_REGIONS),
    _option("prompt_2", "text", _XL, "the prompt for the second text encoder (default: PROMPT, for both)", record="conditions.prompt_2"),
    _option(
        "negative_prompt_2",
        "text",
        _XL,
        "the negative prompt for the second text encoder (default: --negative-prompt)",
        record="conditions.negative_prompt_2",
    ),
    _option(
        "adapter_image",
        "pictures",
        _ADAPTER,
        "a picture to follow; give one for each --t2i-adapter, in their order, or so many for each",
        record="conditions.adapter_image",
    ),
    _option(
        "adapter_conditioning_scale",
        "numbers",
        _ADAPTER,
        "strength of the T2I-Adapters: one number for all, or the flag again for each (default: 1)",
        "--adapter-scale",
        "--adapter-conditioning-scale",
        record="conditions.adapter_conditioning_scale",
    ),
    _option(
        "adapter_conditioning_factor",
        "numbers",
        _ADAPTER,
        "share of the run, from its begin, in which they act; one number, or one for each (default: 1)",
        "--adapter-factor",
        "--adapter-conditioning-factor",
        record="conditions.adapter_conditioning_factor",
    ),
    _option(
        "adapter_preprocessor",
        "choices",
        _ADAPTER,
        "what to make of a picture first; one for all, or the flag again for each (default: none)",
        record="conditions.adapter_preprocessor",
        choices=("none", "canny", "soft_edges", "scribble", "tile", "grey", "invert"),
    ),
    _option(
        "ip_adapter_image",
        "pictures",
        _LOOK,
        "a picture that the --ip-adapter looks at; give it again for more, or for each of several adapters, in their order",
        record="conditions.ip_adapter_image",
    ),
    _option(
        "ip_adapter_image_embeds",
        "arrays",
        _LOOK,
        "a .npy file of what the image encoder gave in place of the pictures; one for each adapter",
        record="conditions.ip_adapter_image_embeds",
    ),
    _option(
        "ip_adapter_scale",
        "numbers",
        _LOOK,
        "how much the pictures count: one number for all adapters, or the flag again for each (default: 1)",
        record="conditions.ip_adapter_scale",
    ),
    _option(
        "ip_adapter_mask",
        "pictures",
        _LOOK,
        "where they count, white in a picture: one for each picture, or for each of several adapters",
        record="conditions.ip_adapter_mask",
    ),
    Option(name="sizes", kind="group", flags=(), help="", record="", section=_XL),
    _option(
        "original_size",
        "pair",
        _XL,
        "the size that the image should look like it was resized from (default: its own)",
        record="conditions.original_size",
    ),
    _option(
        "crops_coords_top_left",
        "pair",
        _XL,
        "how far the image should look cropped (default: 0 0, a centred subject)",
        record="conditions.crops_coords_top_left",
        metavar=("TOP", "LEFT"),
    ),
    _option(
        "target_size",
        "pair",
        _XL,
        "the size that the image should look like it has (default: its own)",
        record="conditions.target_size",
    ),
    _option("aesthetic_score", "number", _XL, "for the refiner: score of the image (default: 6)", record="conditions.aesthetic_score"),
    _option(
        "negative_aesthetic_score",
        "number",
        _XL,
        "for the refiner: score of the negative prompt (default: 2.5)",
        record="conditions.negative_aesthetic_score",
    ),
    _option(
        "refiner_start",
        "number",
        _XL,
        "fraction of the noise levels after which the refiner takes over (default: 0.8)",
        record="conditions.refiner_start",
    ),
    _option(
        "freeu",
        "factors",
        _UNET,
        "FreeU: factors of the backbone and of the skip connections' low frequencies in the first two stages of the way up (default: none)",
        record="conditions.freeu",
        metavar=("B1", "B2", "S1", "S2"),
    ),
    _option(
        "pag_scale", "number", _UNET, "strength of perturbed-attention guidance; try 3 (default: 0, off)", record="conditions.pag_scale"
    ),
    _option(
        "pag_applied_layers",
        "names",
        _UNET,
        "the self-attentions that it perturbs: mid, down_blocks.1, up_blocks.0.attentions.1; give it again for several (default: mid)",
        record="conditions.pag_applied_layers",
    ),
    _option(
        "pag_adaptive_scale",
        "number",
        _UNET,
        "how much --pag-scale falls for each of the 1000 timesteps that is done (default: 0)",
        record="conditions.pag_adaptive_scale",
    ),
    _option(
        "token_merging",
        "number",
        _UNET,
        "0 to 0.75: the share of pixels that are merged for the largest self-attentions, which is faster (default: 0)",
        record="conditions.token_merging",
    ),
)

OPTIONS = {row.name: row for row in _ROWS}
