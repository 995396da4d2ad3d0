"""How predictions are combined, and what the U-Net computes."""

from sdrt.pipeline.option_rows.row import option

__all__ = ["ROWS"]

_GUIDANCE = "guidance"
_UNET = "what the U-Net computes"

ROWS = (
    option(
        "guidance_start",
        "number",
        _GUIDANCE,
        "fraction of the run's steps at which guidance begins; until then the prompt alone is predicted (default: 0)",
        record="conditions.guidance_start",
    ),
    option(
        "guidance_end",
        "number",
        _GUIDANCE,
        "fraction of the run's steps at which guidance ends (default: 1)",
        record="conditions.guidance_end",
    ),
    option(
        "guidance_schedule",
        "scales",
        _GUIDANCE,
        "how the scale changes from step to step: constant, linear or cosine; or the scale of each step, as 3,5,7 (default: constant)",
        record="conditions.guidance_schedule",
        choices=("constant", "linear", "cosine"),
    ),
    option(
        "apg",
        "factors",
        _GUIDANCE,
        "adaptive projected guidance, for high scales without saturated colours; try 0 15 -0.5 (default: none)",
        record="conditions.apg",
        metavar=("ETA", "NORM_THRESHOLD", "MOMENTUM"),
    ),
    option(
        "dynamic_thresholding",
        "factors",
        _GUIDANCE,
        "keep the range of values that a lower scale gives; try 0.995 7 (default: none)",
        record="conditions.dynamic_thresholding",
        metavar=("PERCENTILE", "MIMIC_SCALE"),
    ),
    option(
        "freeu",
        "factors",
        _UNET,
        "FreeU: factors of the backbone and of the skip connections' low frequencies in the first two stages of the way up (default: none)",
        record="conditions.freeu",
        metavar=("B1", "B2", "S1", "S2"),
    ),
    option(
        "pag_scale", "number", _UNET, "strength of perturbed-attention guidance; try 3 (default: 0, off)", record="conditions.pag_scale"
    ),
    option(
        "pag_applied_layers",
        "names",
        _UNET,
        "the self-attentions that it perturbs: mid, down_blocks.1, up_blocks.0.attentions.1; give it again for several (default: mid)",
        record="conditions.pag_applied_layers",
    ),
    option(
        "pag_adaptive_scale",
        "number",
        _UNET,
        "how much --pag-scale falls for each of the 1000 timesteps that is done (default: 0)",
        record="conditions.pag_adaptive_scale",
    ),
    option(
        "token_merging",
        "number",
        _UNET,
        "0 to 0.75: the share of pixels that are merged for the largest self-attentions, which is faster (default: 0)",
        record="conditions.token_merging",
    ),
)
