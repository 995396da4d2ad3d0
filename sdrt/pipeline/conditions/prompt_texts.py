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
from typing import TypeAlias

from sdrt.guidance import prompt_row
from sdrt.guidance.rows import NEGATIVE, Row
from sdrt.limits import Limits
from sdrt.prompt import PromptSyntax, Schedule, changes, schedule, without_lora_tags
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
    unreached : int or None
        The last step before a change that the run does not reach; None if it reaches all of them.
    """

    since: tuple[tuple[int, tuple[RowTexts, ...]], ...]
    unreached: int | None = None


def needed_syntax(prompts: Sequence[str], negative_prompts: Sequence[str]) -> PromptSyntax:
    """Return the plainest syntax that reads all these as "full" does.

    >>> needed_syntax(["a (red) circle"], [""]), needed_syntax(["a [red|blue] circle"], [""])
    ('weighted', 'full')
    """
    return "full" if any(map(changes, (*prompts, *negative_prompts))) else "weighted"


def run_texts(images: Sequence[EncoderTexts], syntax: PromptSyntax, plan: Plan, at: int, limits: Limits) -> RunTexts:
    """Lay out the texts of a run.

    Parameters
    ----------
    images : sequence of EncoderTexts
        Those of each image, or of all at once.
    syntax : "full", "weighted" or "plain"
    plan : Plan
    at : int
        The first call of the run.
    limits : Limits
        The most characters of a prompt.

    Raises
    ------
    ConfigError : more than 100 brackets open at once, or a prompt longer than the limit
    """
    for text in {text for image in images for pair in image for text in pair}:
        limits.check("prompt_characters", "the characters of a prompt", len(text))
    steps = plan.num_inference_steps
    made = [call for call in plan.starts if call >= at]
    rows = [_rows(*image, syntax, steps) for image in images]
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
    return RunTexts(tuple(since), unreached)


def _rows(first: tuple[str, str], second: tuple[str, str], syntax: PromptSyntax, steps: int) -> Mapping[Row, tuple[Schedule, Schedule]]:
    """Return the rows of an image, each with its texts for both text encoders."""

    def texts(prompt: str) -> Schedule:
        return schedule(prompt, steps) if syntax == "full" else ((steps, prompt),)

    prompts = [texts(prompt if syntax == "plain" else without_lora_tags(prompt)) for prompt, _ in (first, second)]
    return {NEGATIVE: (texts(first[1]), texts(second[1])), prompt_row(0): (prompts[0], prompts[1])}


def _at(texts: Schedule, step: int) -> str:
    return texts[bisect_left(texts, step, key=lambda each: each[0])][1]
