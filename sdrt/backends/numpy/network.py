"""A program of this backend as a network of the contract."""

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Self

import numpy as np

from sdrt.arrays import Array, Signature
from sdrt.backends.binding import BoundNetwork
from sdrt.backends.component_options import PLAIN, ComponentOptions
from sdrt.backends.numpy.blas import one_thread
from sdrt.backends.numpy.program import Adjustable, Bindable, Program
from sdrt.backends.numpy.team import ThreadTeam

__all__ = ["NumpyNetwork"]


class NumpyNetwork(BoundNetwork):
    """A program behind the contract, with the threads that a call may use."""

    def __init__(self, component: str, signature: Signature, program: Program, team: ThreadTeam, options: ComponentOptions = PLAIN) -> None:
        super().__init__(component, signature)
        # of which `with_options` makes others
        self._plain_program = program
        self._program = program.with_options(options) if isinstance(program, Adjustable) else program
        self._team = team
        # a trace computes what is bound too, and records it
        self._unbound_program = self._program

    def with_options(self, options: ComponentOptions) -> Self:
        """Open the component with other options on this network's weights and threads; either may be closed before the other."""
        with self._in_use():
            return type(self)(self._component, self._signature, self._plain_program, self._team.share(), options)

    def changed(self, change: Callable[[Program], Program]) -> Self:
        """Return a network that computes something else with this one's weights and threads; it is open as long as this one.

        Parameters
        ----------
        change : callable
            Takes the program and returns another: with one part replaced, to see what a mistake there would give.
        """
        changed = type(self)(self._component, self._signature, change(self._unbound_program), self._team)
        changed._parent = self
        return changed

    def _run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        with _computing():
            return self._program.run(self._team, inputs)

    def _bind(self, constants: Mapping[str, Array]) -> None:  # noqa: ARG002 a program computes from all that is fixed so far
        if isinstance(self._program, Bindable):
            with _computing():
                self._program = self._program.with_constants(self._team, self._constants)

    def _trace_names(self) -> tuple[str, ...]:
        from sdrt.backends.numpy.tracing import trace_names  # few look into a network

        return trace_names(self._unbound_program)

    def _trace_inputs(self) -> tuple[str, ...]:
        from sdrt.backends.numpy.tracing import trace_inputs

        return trace_inputs(self._unbound_program)

    def _trace(self, names: Collection[str], inputs: Mapping[str, Array]) -> dict[str, Array]:
        return self._trace_substituted(names, inputs, {})

    def _trace_substituted(self, names: Collection[str], inputs: Mapping[str, Array], substitutes: Mapping[str, Array]) -> dict[str, Array]:
        from sdrt.backends.numpy.tracing import trace

        with _computing():
            return trace(self._unbound_program, self._team, inputs, names, substitutes)

    def _release(self) -> None:
        del self._program, self._unbound_program, self._plain_program
        if self._parent is None:
            self._team.close()


@contextmanager
def _computing() -> Iterator[None]:
    with one_thread(), np.errstate(over="ignore", under="ignore"):
        yield
