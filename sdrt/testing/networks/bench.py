"""A network under test beside its judge, ready for experiments: calls are made in pairs, and compared."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sdrt.testing.networks.cases import Case
from sdrt.testing.networks.judge import Examinee, Judge, largest_error
from sdrt.testing.networks.settings import Inputs, Setting, inputs_of
from sdrt.testing.networks.trials import Axis, Trial

__all__ = ["Bench"]

# By how many bounds a result has to move for an input to count as one that matters.
_MOVES = 10.0


@dataclass(frozen=True)
class Bench:
    """Both networks of a case.

    Parameters
    ----------
    case : Case
    config : mapping
        The component's configuration.
    examinee : Examinee
    judge : Judge
    bound : float
        How far a result may lie from the judge's, of the largest value.
    """

    case: Case
    config: Mapping[str, Any]
    examinee: Examinee
    judge: Judge
    bound: float

    def inputs(self, setting: Setting) -> dict[str, Any]:
        """Draw the inputs of a setting."""
        return inputs_of(self.case, self.config, setting)

    def takes(self, setting: Setting) -> bool:
        """Whether the network under test admits such inputs."""
        return self.examinee.takes(self.inputs(setting))

    def trial(self, axis: Axis, setting: Setting) -> Trial:
        """Call both networks."""
        inputs = self.inputs(setting)
        return Trial(self.case, axis, setting, inputs, self.examinee.run(inputs), self.judge.run(inputs))

    def error(self, setting: Setting) -> float:
        """Return by how much the two differ; 0 for inputs that the network under test does not admit."""
        return self.trial("plain", setting).error if self.takes(setting) else 0.0

    def is_wrong(self, setting: Setting) -> bool:
        """Whether the two differ by more than the bound."""
        return self.error(setting) > self.bound

    def notices(self, inputs: Inputs, other: Inputs) -> bool | None:
        """Return whether the network under test tells two calls' inputs apart; None where they are not to be told apart."""
        expected = largest_error(self.judge.run(other), self.judge.run(inputs))
        if expected < _MOVES * self.bound:
            return None
        return largest_error(self.examinee.run(other), self.examinee.run(inputs)) > expected / 1000.0
