"""The stretches of a run: from a call of the plan on, the guidance or the prompts are others."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

from sdrt.guidance import Guidance, Row
from sdrt.models import ComponentName
from sdrt.pipeline.conditions.prompt_texts import RowTexts
from sdrt.pipeline.conditions.text import TokenizedPrompts

__all__ = ["ModelPrompts", "RunPrompts", "Since", "Stretch", "distinct_rows", "lay_out_stretches", "tokenize_run"]

T = TypeVar("T")

# For one model: a mapping from text encoder for each image, or for all at once.
ModelPrompts: TypeAlias = tuple[Mapping[ComponentName, TokenizedPrompts], ...]

# For the base model, and for the refiner where there is one.
RunPrompts: TypeAlias = tuple[ModelPrompts, ...]

# What holds from each call of the plan on, in rising order; the first from call 0.
Since: TypeAlias = tuple[tuple[int, T], ...]


@dataclass(frozen=True, eq=False)
class Stretch:
    """Calls with one guidance, one set of prompts and one model.

    Parameters
    ----------
    begins : int
        The first call, counted in the plan.
    guidance : Guidance
    prompts : int
        The index of its prompts among those of the run, where they occur first.
    refines : bool
        Whether the refiner predicts.
    """

    begins: int
    guidance: Guidance
    prompts: int
    refines: bool


def lay_out_stretches(
    guidances: Since[Guidance], prompts: Since[RunPrompts], refiner_begins: int | None, at: int, num_calls: int
) -> tuple[Stretch, ...]:
    """Divide a run into stretches.

    Parameters
    ----------
    guidances, prompts : since
    refiner_begins : int or None
    at, num_calls : int
        The first call of the run, and the plan's number of calls.

    Returns
    -------
    the stretches that the run enters, in their order
    """
    # texts that come back are those that were
    first: dict[int, int] = {}
    numbered = tuple((begins, first.setdefault(id(each), k)) for k, (begins, each) in enumerate(prompts))
    places = {begins for begins, _ in (*guidances, *prompts)} | ({refiner_begins} if refiner_begins is not None else set())
    begins = sorted(place for place in places if place < num_calls)
    entered = [place for place, end in zip(begins, [*begins[1:], num_calls], strict=True) if end > at]
    return tuple(
        Stretch(place, _at(guidances, place), _at(numbered, place), refiner_begins is not None and place >= refiner_begins)
        for place in entered
    )


def tokenize_run(texts: Since[tuple[RowTexts, ...]], tokenize: Sequence[Callable[[Sequence[RowTexts]], ModelPrompts]]) -> Since[RunPrompts]:
    """Tokenize the texts of a run, each distinct one once.

    Parameters
    ----------
    texts : since
        The texts of each image, or of all at once.
    tokenize : sequence of callables
        One for each model.
    """
    images = list(dict.fromkeys(image for _, each in texts for image in each))
    of_models = [dict(zip(images, own(images), strict=True)) for own in tokenize]
    prompts = {each: tuple(tuple(own[image] for image in each) for own in of_models) for _, each in texts}
    return tuple((begins, prompts[each]) for begins, each in texts)


def distinct_rows(guidances: Since[Guidance]) -> tuple[Row, ...]:
    """Return the kinds of rows of all guidances, each once."""
    return tuple(dict.fromkeys(row for _, guidance in guidances for row in guidance.rows))


def _at(since: Sequence[tuple[int, T]], place: int) -> T:
    return [value for begins, value in since if begins <= place][-1]
