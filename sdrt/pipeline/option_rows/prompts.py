"""How prompts are read, and where they count."""

from sdrt.pipeline.option_rows.row import Option, option

__all__ = ["ROWS"]

_PROMPT = "prompt"
_REGIONS = "regions with prompts of their own"

ROWS = (
    option(
        "prompt_syntax",
        "choice",
        _PROMPT,
        "full reads (word:1.3), BREAK, [from:to:0.5], [one|other] and AND; weighted the first two; plain none (default: full)",
        choices=("full", "weighted", "plain"),
    ),
    option(
        "long_prompts",
        "choice",
        _PROMPT,
        "encode a prompt in chunks of 75 tokens, or drop what exceeds one; pad fills up a shorter negative prompt (default: chunk)",
        choices=("chunk", "pad", "truncate"),
    ),
    option(
        "emphasis",
        "choice",
        _PROMPT,
        "whether the mean of each chunk is restored after weights are applied (default: original, which does)",
        choices=("original", "no_norm"),
    ),
    option("clip_skip", "integer", _PROMPT, "last layers of the text encoder to skip; AUTOMATIC1111's number less 1 (default: 0)"),
    option(
        "region_prompt",
        "texts",
        _REGIONS,
        "the prompt of a region; give the flag again for each, and a --region-mask",
        record="conditions.region_prompt",
    ),
    option(
        "region_mask",
        "pictures",
        _REGIONS,
        "a picture that is white where that prompt counts; one for each --region-prompt, in their order",
        record="conditions.region_mask",
    ),
    option(
        "region_weight",
        "numbers",
        _REGIONS,
        "how much a region counts where masks are grey or overlap; one number for all, or one for each (default: 1)",
        record="conditions.region_weight",
    ),
    Option(name="regions", kind="group", flags=(), help="", record="", section=_REGIONS),
)
