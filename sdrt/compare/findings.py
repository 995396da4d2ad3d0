"""What a comparison found: frozen records."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from sdrt.arrays import U8
from sdrt.compare.tolerances import Tolerances
from sdrt.metrics import Difference

__all__ = [
    "CallRow",
    "Departure",
    "Findings",
    "InputRow",
    "LayerRow",
    "PixelRow",
    "SideRecord",
    "StepRow",
    "TruthRow",
]


@dataclass(frozen=True, kw_only=True)
class SideRecord:
    """What one side was.

    Parameters
    ----------
    name : str
        As the caller named it.
    model : str
    backend : str
        A name, or component=name for several.
    numerics : str
    precision : str
        The least precise type that its networks compute in.
    recorded : bool
        Whether it is a recording.
    """

    name: str
    model: str
    backend: str
    numerics: str
    precision: str
    recorded: bool


@dataclass(frozen=True, kw_only=True)
class InputRow:
    """Something that both runs were given or drew before their first call: tokens, or noise.

    Parameters
    ----------
    name : str
        ``tokens.0.text_encoder.prompt``, ``noise``, ``noise of step 3``.
    error : float
        The largest difference over the largest value; for tokens, the share of different ones. 0 where both are the same.
    """

    name: str
    error: float


@dataclass(frozen=True, kw_only=True)
class StepRow:
    """How far both runs are apart after one call of the loop, each having gone its own way.

    Parameters
    ----------
    step : int
        Counted from 0.
    timestep : float
    latents : Difference
    x0 : Difference or None
        Of the predicted clean latents; None where a recording does not hold them.
    """

    step: int
    timestep: float
    latents: Difference
    x0: Difference | None


@dataclass(frozen=True, kw_only=True)
class CallRow:
    """A network call, or a step of the scheduler.

    Parameters
    ----------
    component : str
        ``unet``, ``vae_decoder``, ``refiner.unet``, ``controlnet.0``; or ``scheduler``.
    step : int or None
        The call of the loop that it belongs to.
    output : str
        The output that differs most.
    forced : bool
        Whether both sides got the same inputs.
    inputs : float
        How far the inputs were apart, the largest difference over the largest value.
    difference : Difference
        Of that output.
    """

    component: str
    step: int | None
    output: str
    forced: bool
    inputs: float
    difference: Difference


@dataclass(frozen=True, kw_only=True)
class LayerRow:
    """The own error of one module: computed from the other side's values.

    Parameters
    ----------
    component : str
    step : int or None
    layer : str
        The module's path in diffusers; empty for what the network itself does between its modules.
    error : float
        The largest difference over the largest value, or the root mean square of the differences over that of the values, if that is more.
    allowed : float
        What rounding explains.
    at : "output" or "input"
        ``"input"``: what departs is what happens inside ``layer``, before the module of ``before``.
    before : str
        That module.
    """

    component: str
    step: int | None
    layer: str
    error: float
    allowed: float
    at: Literal["output", "input"] = "output"
    before: str = ""

    @property
    def departs(self) -> bool:
        """Whether the error is out of line."""
        return not self.error <= self.allowed


@dataclass(frozen=True, kw_only=True)
class PixelRow:
    """How far two pictures are apart, in steps of 8-bit colours.

    Parameters
    ----------
    image : int
    max : int
    mean : float
    psnr : float
        dB; inf for equal pictures.
    different : float
        The share of different pixels.
    """

    image: int
    max: int
    mean: float
    psnr: float
    different: float


@dataclass(frozen=True, kw_only=True)
class TruthRow:
    """The errors of both sides against the numpy backend in float64, each the largest difference over the largest value.

    Parameters
    ----------
    component : str
        A network, whose inputs were each side's own; or ``latents`` and ``pixels``, against a run of its own.
    step : int or None
    a, b : float
        For pixels, the root mean square error in steps of 8-bit colours.
    """

    component: str
    step: int | None
    a: float
    b: float

    @property
    def nearer(self) -> str:
        """``"a"``, ``"b"``, or ``"both"`` where the errors are the same."""
        return "both" if self.a == self.b else "a" if self.a < self.b else "b"


@dataclass(frozen=True, kw_only=True)
class Departure:
    """Where two runs part.

    Parameters
    ----------
    component : str
        A network; ``scheduler``; ``tokens`` or ``noise``, which both runs begin with; ``latents`` or ``pixels``, where only the sum of
        small errors is out of line.
    step : int or None
        The call of the loop, counted from 0; None before the loop and after it.
    layer : str or None
        The module's path in diffusers, where layers were compared and one is out of line.
    error : float
        The largest difference over the largest value.
    """

    component: str
    step: int | None
    layer: str | None
    error: float

    def __str__(self) -> str:
        where = self.component if self.layer is None else f"{self.component}, {self.layer or 'between its modules'}"
        return f"{where}{'' if self.step is None else f', step {self.step}'}: error {self.error:.1e}"


@dataclass(frozen=True, kw_only=True)
class Findings:
    """The fields of a `Comparison`, which describes them and adds its forms: JSON, a table, a page."""

    a: SideRecord
    b: SideRecord
    settings: Mapping[str, Any]
    tolerances: Tolerances
    equal: bool
    first_departure: Departure | None
    inputs: tuple[InputRow, ...]
    steps: tuple[StepRow, ...]
    networks: tuple[CallRow, ...]
    layers: tuple[LayerRow, ...]
    truth: tuple[TruthRow, ...]
    pixels: tuple[PixelRow, ...]
    pictures: tuple[tuple[U8, U8], ...] = field(repr=False, compare=False)

    @property
    def psnr(self) -> float:
        """The lowest PSNR of a picture in dB; of the last latents where there are no pictures. inf where they are equal."""
        if self.pixels:
            return min(row.psnr for row in self.pixels)
        return self.steps[-1].latents.psnr if self.steps else math.inf
