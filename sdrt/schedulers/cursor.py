"""Where a loop stands in a plan: what diffusers keeps as ``step_index`` and ``begin_index``."""

from collections.abc import Sequence

from sdrt.arrays import Array
from sdrt.errors import ConfigError
from sdrt.schedulers.core.run import State
from sdrt.values import Integer, Nullable

__all__ = ["Cursor"]

_INDEX = Nullable(Integer())


class Cursor:
    """A place in a plan, which follows a loop that passes the plan's timesteps in order. Any other timestep begins anew there.

    Parameters
    ----------
    timesteps : array[calls]
        As the face shows them.
    starts : ints
        The calls at which a step begins.
    takes_second : bool
        Of equal timesteps (rounded Karras ones), diffusers 0.42.1 takes the second, and so leaves out a stop.
    """

    def __init__(self, timesteps: Array, starts: tuple[int, ...], *, takes_second: bool = False) -> None:
        self.state: State | None = None  # of the run under way
        self.begin_index: int | None = None  # the index of the timestep at which the next run begins, if it was set
        self.was_set: int | None = None  # the last that was set since the plan was laid out
        self._timesteps: list[float] = [float(t) for t in timesteps]
        self._starts = starts
        self._takes_second = takes_second

    def begin_at(self, index: int | None) -> None:
        """Set the index of the timestep at which the next run begins; None leaves it to the timestep.

        Raises
        ------
        ConfigError : no step begins there
        """
        index = _INDEX.check("begin_index", index)
        if index is not None and index not in self._starts:
            raise ConfigError(f"begin_index must be one at which a step begins, {_ends(self._starts)}, got {index}; pass one of those")
        self.begin_index = self.was_set = index

    def locate(self, timestep: float | None) -> int:
        """Return the call of a timestep: the next one in a loop that goes on, else where a step begins there; of none, the next or first.

        Raises
        ------
        ConfigError : no step begins at this timestep
        """
        position = self.begin_index if self.begin_index is not None or self.state is None else self.state.position
        if position is not None and position < len(self._timesteps) and (timestep is None or self._timesteps[position] == timestep):
            return position
        if timestep is None:
            return 0
        if (i := self.find(float(timestep))) is not None:
            return i
        raise ConfigError(f"timestep {float(timestep):g} is not in this plan; pass one of scheduler.timesteps: {_ends(self._timesteps)}")

    def find(self, timestep: float) -> int | None:
        """Return the call at which a step begins at this timestep, or None."""
        calls = [i for i in self._starts if self._timesteps[i] == timestep]
        if len(calls) > 1 and self._takes_second:
            return calls[1]
        return calls[0] if calls else None

    def find_call(self, timestep: float) -> int | None:
        """Return a call at this timestep, in the middle of a step too; None if there is none."""
        found = self.find(timestep)
        return found if found is not None else next((i for i, own in enumerate(self._timesteps) if own == timestep), None)


def _ends(timesteps: Sequence[float]) -> str:
    shown = [f"{t:g}" for t in timesteps]
    return ", ".join(shown if len(shown) <= 8 else [*shown[:4], "...", *shown[-2:]])
