"""``torch.compile`` with a report of its warm-up: the first call of a shape takes a minute, and a user who waits should know why."""

import time
from collections.abc import Callable
from typing import TypeAlias

import torch

from sdrt.backends.torch.compile_event import CompileEvent
from sdrt.backends.torch.memory import is_out_of_memory
from sdrt.errors import BackendError
from sdrt.forking import ForkLock
from sdrt.log import log

__all__ = ["CompiledModule"]


_Shapes: TypeAlias = tuple[tuple[str, tuple[int, ...]], ...]
_Run: TypeAlias = Callable[..., tuple[torch.Tensor, ...]]


class CompiledModule:
    """A module that is compiled when it meets new shapes; calls of shapes it has met run at once, from any thread.

    A compilation that fails or is interrupted is forgotten whole: the next call begins it anew.

    Parameters
    ----------
    component : str
    module : nn.Module
    tell : callable or None
        Told of every beginning and end, beside the log.
    compiler : str
        torch's name of what makes the kernels.
    """

    def __init__(
        self, component: str, module: torch.nn.Module, tell: Callable[[CompileEvent], None] | None, compiler: str = "inductor"
    ) -> None:
        self._component, self._tell = component, tell
        self._lock = ForkLock()
        self._warm: frozenset[_Shapes] = frozenset()
        self._run: _Run = torch.compile(module, backend=compiler)

    def __call__(self, **arrays: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """As the module.

        Raises
        ------
        BackendError : torch cannot compile it here
        """
        shapes = tuple((name, tuple(x.shape)) for name, x in arrays.items())
        if shapes not in self._warm:
            with self._lock:
                if shapes not in self._warm:
                    return self._first(shapes, arrays)
        return self._run(**arrays)

    def _first(self, shapes: _Shapes, arrays: dict[str, torch.Tensor]) -> tuple[torch.Tensor, ...]:
        sizes = tuple(shape for _, shape in shapes)
        self._say(CompileEvent(self._component, sizes, None))
        start = time.perf_counter()
        try:
            outputs = self._run(**arrays)
        except Exception as error:
            if is_out_of_memory(error):
                raise
            reason = str(error).strip().split("\n", 1)[0]
            raise BackendError(
                f"{self._component}: torch.compile failed ({type(error).__name__}: {reason}); on cpu it needs a C++ compiler, on cuda "
                "triton: install that, or open the model with compile=False"
            ) from error
        # not reached where it failed or was interrupted: torch keeps nothing of an unfinished compilation, and neither do we
        self._warm |= {shapes}
        self._say(CompileEvent(self._component, sizes, time.perf_counter() - start))
        return outputs

    def _say(self, event: CompileEvent) -> None:
        log.info("%s", event)
        if self._tell is not None:
            self._tell(event)
