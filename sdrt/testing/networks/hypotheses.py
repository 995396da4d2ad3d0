"""The hypotheses about a network that departs: guesses that are held against its numbers, and what experiments show."""

from collections.abc import Mapping, Sequence
from functools import partial

from sdrt.testing.explain import Hypothesis
from sdrt.testing.networks.bench import Bench
from sdrt.testing.networks.cases import Case
from sdrt.testing.networks.experiments import experiments, ignored_inputs
from sdrt.testing.networks.guesses import Guess, guesses_for
from sdrt.testing.networks.judge import largest_error
from sdrt.testing.networks.precision import rounding
from sdrt.testing.networks.tracing import first_departure
from sdrt.testing.networks.trials import PLAIN, Trial

__all__ = ["hypotheses_of", "joined"]

# A guess explains a difference if it leaves no more than this share of it.
_LEAVES = 0.1


def hypotheses_of(bench: Bench, differing: Sequence[Trial]) -> list[Hypothesis[Trial]]:
    """Return what may be wrong with a network, the most particular first.

    Where a plain call is wrong, what explains it comes before anything that shows elsewhere only.
    """
    plain = bench.trial("plain", PLAIN)
    inputs = dict(plain.inputs)
    for trial in differing:
        inputs |= trial.inputs
    plain_is_wrong = plain.error > bench.bound
    guesses = guesses_for(inputs, plain.wanted, plain_is_wrong=plain_is_wrong)
    if not plain_is_wrong:
        cheap = [trial for trial in differing if trial.cheap]
        return [*(found for guess in guesses if (found := _viable(guess, bench, plain, cheap))), *experiments(bench, differing)]
    fitting = [_hypothesis(guess, bench) for guess in guesses if _fits(guess, bench, plain)]
    hypotheses = [*fitting, *ignored_inputs(bench)]
    return hypotheses or [*rounding(bench, plain), *first_departure(bench, plain)]


def joined(every: Mapping[Case, Sequence[Hypothesis[Trial]]]) -> list[Hypothesis[Trial]]:
    """Join the hypotheses about all networks: the same mistake in several of them is one."""
    by_name: dict[tuple[str, str], dict[Case, Hypothesis[Trial]]] = {}
    for case, hypotheses in every.items():
        for each in hypotheses:
            by_name.setdefault((each.kind, each.text), {}).setdefault(case, each)

    def predicts(of_case: Mapping[Case, Hypothesis[Trial]], trial: Trial) -> bool | None:
        return of_case[trial.case].predicts(trial) if trial.case in of_case else None

    return [Hypothesis(kind, text, partial(predicts, of_case)) for (kind, text), of_case in by_name.items()]


def _viable(guess: Guess, bench: Bench, plain: Trial, cheap: Sequence[Trial]) -> Hypothesis[Trial] | None:
    """Return a guess as a hypothesis, if it does not contradict a plain call that is right, and explains one of the cheap differences."""
    if _fits(guess, bench, plain) is False:
        return None
    hypothesis = _hypothesis(guess, bench)
    return hypothesis if any(hypothesis.predicts(trial) for trial in cheap) else None


def _hypothesis(guess: Guess, bench: Bench) -> Hypothesis[Trial]:
    answers: dict[int, bool | None] = {}

    def predicts(trial: Trial) -> bool | None:
        if not trial.cheap:
            # a large call is not made again for every guess: what the cheap ones say is believed
            return True
        if id(trial) not in answers:
            answers[id(trial)] = _fits(guess, bench, trial)
        return answers[id(trial)]

    return Hypothesis(guess.kind, guess.text, predicts)


def _fits(guess: Guess, bench: Bench, trial: Trial) -> bool | None:
    """Return whether a network with this mistake gives a call's numbers; None where the guess says nothing of the call."""
    predicted = guess.predict(bench.judge, trial.inputs)
    if predicted is None:
        return None
    error = trial.error
    allowed = bench.bound if error <= bench.bound else max(_LEAVES * error, min(bench.bound, error / 2.0))
    return largest_error(trial.found, predicted) <= allowed
