"""What watches a run: every network call, step and draw, in their order; recordings and comparisons are made of it.

An observer sees and changes nothing. It is called in the thread that makes the run, between the pieces of work that it hears of, and its
own work takes the run's time. The arrays belong to the run: an observer copies what it changes.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from sdrt.arrays import Array, Float
from sdrt.guidance import Guided
from sdrt.models import ComponentName
from sdrt.pipeline.conditions.text import TokenizedPrompts
from sdrt.pipeline.results import Result
from sdrt.records.settings import Settings
from sdrt.schedulers import Plan, Sampler, State

__all__ = ["UNOBSERVED", "Beginning", "CompletedStep", "MakeObserver", "Observer", "Unobserved"]


@dataclass(frozen=True, eq=False, kw_only=True)
class Beginning:
    """What is known before a run's first network call.

    Parameters
    ----------
    settings : Settings
    sampler : Sampler
    plan : Plan
    timesteps : i64[calls] or f64[calls]
        The plan's timesteps, rounded as the networks take them.
    at : int
        The plan's first call in this run.
    prompts : tuple of tuples of mappings from text encoder to TokenizedPrompts
        Of the first call, for the base model, and for the refiner where there is one: a mapping for each pair of
        ``settings.image_texts``.
    noise : float[n,C,h,w]
        The noise of the start.
    source, masked : float32[n,C,h,w] or None
        The noise of the posteriors of the picture that the run starts from, and of that picture without what is drawn anew.
    inputs : mapping
        The options of the call that are pictures or arrays, as the caller passed them.
    """

    settings: Settings
    sampler: Sampler
    plan: Plan
    timesteps: Array
    at: int
    prompts: tuple[tuple[Mapping[ComponentName, TokenizedPrompts], ...], ...]
    noise: Float
    source: Float | None
    masked: Float | None
    inputs: Mapping[str, Any]


@dataclass(frozen=True, eq=False, kw_only=True)
class CompletedStep:
    """One call of the loop, with all that the sampler's step took and gave.

    Parameters
    ----------
    call : int
        Counted in the plan.
    timestep : float
        The networks' input.
    before : State
    guided : Guided
        The prediction that the step follows.
    noise : float32[n,C,h,w] or None
        The noise that the step took; None for a step without.
    stepped : State
        What the sampler returned.
    after : State
        The same after the kept part of an input picture was put back.
    """

    call: int
    timestep: float
    before: State
    guided: Guided
    noise: Float | None
    stepped: State
    after: State


class Observer(Protocol):
    """Watch one run."""

    def begins(self, beginning: Beginning) -> None:
        """Hear of a run before its first network call."""
        ...

    def called(self, component: str, inputs: Mapping[str, Array], outputs: Mapping[str, Array]) -> None:
        """Hear of a network call.

        Parameters
        ----------
        component : str
            ``"unet"``, ``"vae_decoder"`` and so on; ``"refiner.unet"`` of a refiner, ``"controlnet.0"`` of the first ControlNet,
            ``"unet.perturbed"`` of a U-Net for perturbed-attention guidance.
        inputs, outputs : mapping of arrays
            Inputs with those that are fixed for the run.
        """
        ...

    def stepped(self, step: CompletedStep) -> None:
        """Hear of a step after it was made, behind the network calls that belong to it."""
        ...

    def ends(self, result: Result) -> None:
        """Hear of the pictures, or of a run that was cancelled."""
        ...

    def fails(self, error: BaseException) -> None:
        """Hear of the error that ends a run; a caller who leaves a run under way ends it without a word."""
        ...


# Makes the observer of one run.
MakeObserver: TypeAlias = Callable[[], Observer]


class Unobserved:
    """The observer of a run that nobody watches; one that hears of a part of a run inherits the rest."""

    def begins(self, beginning: Beginning) -> None:
        pass

    def called(self, component: str, inputs: Mapping[str, Array], outputs: Mapping[str, Array]) -> None:
        pass

    def stepped(self, step: CompletedStep) -> None:
        pass

    def ends(self, result: Result) -> None:
        pass

    def fails(self, error: BaseException) -> None:
        pass


UNOBSERVED: Observer = Unobserved()
