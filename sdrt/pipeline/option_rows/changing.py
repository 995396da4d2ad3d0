"""What a call changes, and the second pass of hi-res fix."""

from sdrt.pipeline.option_rows.row import option

__all__ = ["ROWS"]

_CHANGE = "changing a picture"
_HIRES = "hi-res fix"

ROWS = (
    option("image", "pictures", _CHANGE, "the picture to change; give it again for one for each image (-n)", record="conditions.image"),
    option(
        "strength",
        "number",
        _CHANGE,
        "how much to change it: the share of the steps that is made, up to 1 (default: 0.8, and 1 with a mask)",
        record="conditions.strength",
    ),
    option(
        "resize",
        "choice",
        _CHANGE,
        "how it takes another size: stretch, crop (cut the middle out) or fit (with borders) (default: stretch)",
        record="conditions.resize",
        choices=("stretch", "crop", "fit"),
    ),
    option(
        "background",
        "name",
        _CHANGE,
        "the colour behind its transparent parts, a name or #rrggbb (default: white)",
        record="conditions.background",
    ),
    option("image_latents", "array", _CHANGE, "a .npy file of latents in place of the picture", record="conditions.image_latents"),
    option(
        "mask_image",
        "pictures",
        _CHANGE,
        "what of it to redraw: what is white in this picture, or opaque if it has transparency",
        record="conditions.mask_image",
    ),
    option(
        "mask_mode",
        "choice",
        _CHANGE,
        "grey in a mask: binary redraws from half white on, soft mixes at each step, strength redraws in as many of the last steps as it "
        "is white (default: binary)",
        record="conditions.mask_mode",
        choices=("binary", "soft", "strength"),
    ),
    option("mask_blur", "number", _CHANGE, "soften the mask's edge by so many pixels (default: 0)", record="conditions.mask_blur"),
    option(
        "masked_content",
        "choice",
        _CHANGE,
        "what is under the mask at the start: original, fill (the colours around) or noise (default: original)",
        record="conditions.masked_content",
        choices=("original", "fill", "noise"),
    ),
    option(
        "only_masked",
        "switch",
        _CHANGE,
        "draw only the part around the mask, at the model's own size, and paste it back (default: no)",
        record="conditions.only_masked",
    ),
    option(
        "only_masked_padding",
        "integer",
        _CHANGE,
        "pixels around the mask that belong to that part (default: 32)",
        record="conditions.only_masked_padding",
    ),
    option(
        "paste",
        "switch",
        _CHANGE,
        "put kept pixels back at the end, byte for byte (default: yes, but not with --compat diffusers)",
        record="conditions.paste",
    ),
    option(
        "hires_scale",
        "number",
        _HIRES,
        "draw at the size above, enlarge so many times, and draw on from that (default: one pass)",
        record="conditions.hires_scale",
    ),
    option(
        "hires_steps",
        "integer",
        _HIRES,
        "steps of the second plan, of which the share --hires-denoising is made (default: --steps)",
        record="conditions.hires_steps",
    ),
    option(
        "hires_denoising",
        "number",
        _HIRES,
        "how much the second pass changes, above 0 and up to 1 (default: 0.7)",
        record="conditions.hires_denoising",
    ),
    option(
        "hires_upscaler",
        "name",
        _HIRES,
        "what enlarges: latent, latent-antialiased, latent-bicubic, latent-bicubic-antialiased, latent-nearest, latent-nearest-exact, or "
        "of pictures lanczos, bicubic, nearest, or an upscaler's file or repository (default: latent)",
        record="conditions.hires_upscaler",
    ),
    option("hires_scheduler", "name", _HIRES, "of the second pass (default: --scheduler)", record="conditions.hires_scheduler"),
    option("hires_prompt", "text", _HIRES, "of the second pass (default: PROMPT)", record="conditions.hires_prompt"),
    option(
        "hires_negative_prompt",
        "text",
        _HIRES,
        "of the second pass (default: --negative-prompt)",
        record="conditions.hires_negative_prompt",
    ),
    option(
        "hires_guidance_scale",
        "number",
        _HIRES,
        "of the second pass (default: --guidance-scale)",
        record="conditions.hires_guidance_scale",
    ),
)
