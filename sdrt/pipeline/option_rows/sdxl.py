"""Conditions of Stable Diffusion XL and its refiner."""

from sdrt.pipeline.option_rows.row import Option, option

__all__ = ["ROWS"]

_XL = "SDXL"

ROWS = (
    option("prompt_2", "text", _XL, "the prompt for the second text encoder (default: PROMPT, for both)", record="conditions.prompt_2"),
    option(
        "negative_prompt_2",
        "text",
        _XL,
        "the negative prompt for the second text encoder (default: --negative-prompt)",
        record="conditions.negative_prompt_2",
    ),
    Option(name="sizes", kind="group", flags=(), help="", record="", section=_XL),
    option(
        "original_size",
        "pair",
        _XL,
        "the size that the image should look like it was resized from (default: its own)",
        record="conditions.original_size",
    ),
    option(
        "crops_coords_top_left",
        "pair",
        _XL,
        "how far the image should look cropped (default: 0 0, a centred subject)",
        record="conditions.crops_coords_top_left",
        metavar=("TOP", "LEFT"),
    ),
    option(
        "target_size",
        "pair",
        _XL,
        "the size that the image should look like it has (default: its own)",
        record="conditions.target_size",
    ),
    option("aesthetic_score", "number", _XL, "for the refiner: score of the image (default: 6)", record="conditions.aesthetic_score"),
    option(
        "negative_aesthetic_score",
        "number",
        _XL,
        "for the refiner: score of the negative prompt (default: 2.5)",
        record="conditions.negative_aesthetic_score",
    ),
    option(
        "refiner_start",
        "number",
        _XL,
        "fraction of the noise levels after which the refiner takes over (default: 0.8)",
        record="conditions.refiner_start",
    ),
)
