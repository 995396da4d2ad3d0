"""The call that both sides make: a prompt with its options, or that of a recording."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sdrt.compare.replaying import replay_options
from sdrt.compare.runs import first_run
from sdrt.pipeline.options import given_options
from sdrt.pipeline.pipeline import Pipeline
from sdrt.pipeline.resolve import Resolved
from sdrt.recordings import Recording

__all__ = ["RunCall"]


@dataclass(frozen=True, eq=False)
class RunCall:
    """The arguments of ``Pipeline.generate``.

    Parameters
    ----------
    prompt, negative_prompt : str or sequence of str
    options : mapping
    """

    prompt: str | Sequence[str]
    negative_prompt: str | Sequence[str] = ""
    options: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of_recording(cls, recording: Recording) -> "RunCall":
        """Return the call of a recording's run.

        Raises
        ------
        ConfigError, RecordingError : the recording does not hold all that the run began with
        """
        options = replay_options(recording, first_run(recording))
        return cls(options.pop("prompt"), options.pop("negative_prompt"), options)

    def draw(self, pipe: Pipeline) -> None:
        """Make the call."""
        pipe.generate(self.prompt, self.negative_prompt, **self._fresh())

    def resolve(self, pipe: Pipeline) -> Resolved:
        """Return what the call means for a pipeline."""
        return pipe._resolve(self.prompt, self.negative_prompt, given_options(self._fresh()))

    def _fresh(self) -> dict[str, Any]:
        """Return the options with noise streams of their own: a stream that both sides share would give each another noise."""
        return {name: copy.deepcopy(value) if name in ("rng", "sampler_rng") else value for name, value in self.options.items()}
