"""The event that reports a compilation."""

from dataclasses import dataclass

__all__ = ["CompileEvent"]


@dataclass(frozen=True)
class CompileEvent:
    """A compilation begins, or has ended.

    Parameters
    ----------
    component : str
    shapes : tuple of shapes
        Of the call's arrays, in their order.
    seconds : float or None
        How long it took, the first call included; None at the beginning.

    >>> print(CompileEvent("vae_decoder", ((1, 4, 64, 64),), None))
    vae_decoder: compiling, which takes a while (1x4x64x64)
    """

    component: str
    shapes: tuple[tuple[int, ...], ...]
    seconds: float | None

    def __str__(self) -> str:
        sizes = " ".join("x".join(map(str, shape)) for shape in self.shapes)
        done = "compiling, which takes a while" if self.seconds is None else f"compiled in {self.seconds:.1f} s"
        return f"{self.component}: {done} ({sizes})"
