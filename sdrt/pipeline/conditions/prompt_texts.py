"""The texts of a run: for each image the rows that have one, from each call on at which a text changes.

A prompt's parts become the rows "prompt", "prompt 2" and so on. Steps are counted from the first that the run makes, in a schedule of all
the steps that were asked for, as AUTOMATIC1111 counts them: of 20 steps at strength 0.5 an image to image run makes 10, and
``[a:b:5]`` changes in its middle, ``[a:b:0.25]`` too. Departures: there, a text holds for one more call than its number says, as a count
from 0 is compared with steps counted from 1; and samplers that call the denoiser twice a step count calls, where both calls of a step see
its text here.
"""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TypeAlias

from sdrt.errors import ConfigError
from sdrt.guidance import ComposedPrompt, prompt_row
from sdrt.guidance.rows import NEGATIVE, Row
from sdrt.limits import Limits
from sdrt.prompt import PromptPart, PromptSyntax, Schedule, changes, is_composed, prompt_parts, schedule, without_lora_tags
from sdrt.schedulers import Plan

__all__ = ["EncoderTexts", "RowTexts", "RunTexts", "needed_syntax", "run_texts"]

# The rows of one image that have texts of their own, each with that of the first text encoder and that of a second one.
RowTexts: TypeAlias = tuple[tuple[Row, tuple[str, str]], ...]

# A prompt and a negative prompt, for the first text encoder and for a second one.
EncoderTexts: TypeAlias = tuple[tuple[str, str], tuple[str, str]]


@dataclass(frozen=True)
class RunTexts:
    """What the images of a run are asked for.

    Parameters
    ----------
    since : tuple of (int, tuple of RowTexts)
        From each call of the plan on at which a text changes, the first from call 0: the texts of each image, or of all at once. Every
        image has the same rows.
    prompts : tuple of ComposedPrompt
        The rows of the prompt's parts, and their weights for each image, or for all at once; then the same of each region.
    unreached : int or None
        The last step before a change that the run does not reach; None if it reaches all of them.
    """

    since: tuple[tuple[int, tuple[RowTexts, ...]], ...]
    prompts: tuple[ComposedPrompt, ...]
    unreached: int | None = None


def needed_syntax(prompts: Sequence[str], negative_prompts: Sequence[str]) -> PromptSyntax:
    """Return the plainest syntax that reads all these as "full" does.

    >>> needed_syntax(["a (red) circle"], [""]), needed_syntax(["a cat AND a dog"], [""])
    ('weighted', 'full')
    """
    return "full" if any(map(changes, (*prompts, *negative_prompts))) or any(map(is_composed, prompts)) else "weighted"


def run_texts(
    images: Sequence[EncoderTexts], regions: Sequence[str], syntax: PromptSyntax, plan: Plan, at: int, limits: Limits
) -> RunTexts:
    """Lay out the texts of a run.

    Parameters
    ----------
    images : sequence of EncoderTexts
        Those of each image, or of all at once.
    regions : sequence of str
        The prompts of regions of every image.
    syntax : "full", "weighted" or "plain"
    plan : Plan
    at : int
        The first call of the run.
    limits : Limits
        The most characters of a prompt.

    Raises
    ------
    ConfigError : more than 100 brackets open at once, a prompt longer than the limits or of more parts, or one for the second text encoder
        whose parts are others than the prompt's
    """
    for text in {*regions, *(text for image in images for pair in image for text in pair)}:
        limits.check("prompt_characters", "the characters of a prompt", len(text))
    steps = plan.num_inference_steps
    made = [call for call in plan.starts if call >= at]
    parts = [_parts(first[0], second[0], syntax) for first, second in images]
    count = max(map(len, parts))
    further = [_parts(region, region, syntax) for region in regions]
    limits.check("prompt_chunks", "the parts of a prompt", count + sum(map(len, further)))
    # a part that an image lacks has the text of the first, and no weight
    filled = [[*of_image, *[of_image[0]] * (count - len(of_image)), *chain(*further)] for of_image in parts]
    rows = [_rows(of_image, first[1], second[1], syntax, steps) for of_image, (first, second) in zip(filled, images, strict=True)]
    weights = tuple(tuple(of_image[k][0].weight if k < len(of_image) else 0.0 for of_image in parts) for k in range(count))
    prompts = [ComposedPrompt(tuple(map(prompt_row, range(count))), weights)]
    for region in further:
        own = tuple(prompt_row(count + k) for k in range(len(region)))
        prompts.append(ComposedPrompt(own, tuple((part.weight,) for part, _ in region)))
        count += len(region)
    lasts = sorted({last for of_image in rows for each in of_image.values() for text in each for last, _ in text})
    since: list[tuple[int, tuple[RowTexts, ...]]] = []
    unreached = None
    for before, last in zip([0, *lasts], lasts, strict=False):
        texts = tuple(tuple((row, (_at(first, last), _at(second, last))) for row, (first, second) in of_image.items()) for of_image in rows)
        if since and texts == since[-1][1]:
            continue
        if before >= len(made):
            unreached = before
            break
        since.append((made[before] if before else 0, texts))
    return RunTexts(tuple(since), tuple(prompts), unreached)


# A part of the prompt for the first text encoder, and for a second one.
_Part: TypeAlias = tuple[PromptPart, PromptPart]


def _parts(first: str, second: str, syntax: PromptSyntax) -> tuple[_Part, ...]:
    """Return the parts of a prompt; that for the second text encoder has as many, or one for all."""
    firsts, seconds = _parts_of(first, syntax), _parts_of(second, syntax)
    if len(seconds) not in (1, len(firsts)):
        raise ConfigError(
            f"the prompt of the second text encoder must have one part, or {len(firsts)} as the prompt has, got {len(seconds)}; "
            "write AND in both as often"
        )
    return tuple(zip(firsts, seconds * len(firsts) if len(seconds) == 1 else seconds, strict=True))


def _parts_of(prompt: str, syntax: PromptSyntax) -> tuple[PromptPart, ...]:
    text = prompt if syntax == "plain" else without_lora_tags(prompt)
    return prompt_parts(text) if syntax == "full" and is_composed(text) else (PromptPart(text),)


def _rows(
    parts: Sequence[_Part], negative: str, second_negative: str, syntax: PromptSyntax, steps: int
) -> Mapping[Row, tuple[Schedule, Schedule]]:
    """Return the rows of an image, each with its texts for both text encoders."""

    def texts(prompt: str) -> Schedule:
        return schedule(prompt, steps) if syntax == "full" else ((steps, prompt),)

    rows = {NEGATIVE: (texts(negative), texts(second_negative))}
    for k, (first, second) in enumerate(parts):
        rows[prompt_row(k)] = (texts(first.text), texts(second.text))
    return rows


def _at(texts: Schedule, step: int) -> str:
    return texts[bisect_left(texts, step, key=lambda each: each[0])][1]
