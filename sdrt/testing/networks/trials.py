"""The calls that are made of each network: one thing varied at a time around a plain call, and a few together as users have them."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from sdrt.testing.networks.cases import Case
from sdrt.testing.networks.judge import Outputs, largest_error
from sdrt.testing.networks.settings import Inputs, Setting

__all__ = ["PLAIN", "Axis", "Trial", "settings_of"]

Axis: TypeAlias = Literal["plain", "values", "times", "rows", "lengths", "sizes", "residuals", "together"]

PLAIN = Setting()

# The first and the last, whole and fractional ones as Euler's and Karras's grids have them.
_TIMES = (0.0, 1.0, 17.3, 487.6, 981.0, 999.0)
_ROW_TIMES = (3.0, 499.75, 981.0)
_ROWS = (2, 3, 4, 5)
# Up to CLIP's 77 positions, and the joined chunks of longer prompts.
_LENGTHS = (1, 8, 33, 77, 78, 154, 231)
_TEXT_LENGTHS = (1, 2, 8, 16, 33, 59, 76, 77)
# Neither square nor powers of two alone; odd sides too, which the way up has to meet again.
_SMALL_SIZES = ((8, 16), (16, 8), (9, 13), (24, 40))
_MIDDLE_SIZES = ((48, 32), (32, 56), (64, 64))
_LARGE_SIZES = ((72, 104), (96, 64))

# Latents up to which a call is cheap enough to be made again for every hypothesis; an autoencoder works on 64 times as many pixels.
_CHEAP, _CHEAP_PICTURE = 1000, 130


@dataclass(frozen=True, eq=False)
class Trial:
    """One call, and what came of it.

    Parameters
    ----------
    case : Case
    axis : Axis
        What was varied.
    setting : Setting
    inputs : Inputs
    found, wanted : Outputs
        Of the network under test, and of the judge.
    """

    case: Case
    axis: Axis
    setting: Setting
    inputs: Inputs
    found: Outputs
    wanted: Outputs

    @property
    def error(self) -> float:
        """The largest difference over the largest value."""
        return largest_error(self.found, self.wanted)

    @property
    def cheap(self) -> bool:
        """Whether the call may be made often."""
        return self.setting.pixels <= (_CHEAP_PICTURE if self.case.component.startswith("vae") else _CHEAP)

    def __str__(self) -> str:
        return f"{self.case}, {describe(self.case, self.setting)}: off by {self.error:.2g} of the largest value"


def describe(case: Case, setting: Setting) -> str:
    """Name a setting's numbers, as far as the case has them."""
    words = [f"{setting.rows} row{'s' * (setting.rows > 1)}"]
    if case.denoises or case.component.startswith("vae"):
        words.append(f"{setting.height}x{setting.width} latents")
    if case.denoises or case.component.startswith("text"):
        words.append(f"{setting.length} token{'s' * (setting.length > 1)}")
    if case.denoises:
        words.append(f"timestep {', '.join(f'{t:g}' for t in setting.timesteps)}")
    return ", ".join(words + ["with residuals"] * setting.residuals)


def settings_of(case: Case) -> Iterator[tuple[Axis, Setting]]:
    """Yield what a network is called with, the cheap calls first."""
    yield "plain", PLAIN
    yield "values", replace(PLAIN, seed=1)
    if not case.component.startswith("text"):
        yield "values", replace(PLAIN, seed=2, scale=4.0)
    for rows in _ROWS:
        yield "rows", replace(PLAIN, rows=rows)
    if case.component.startswith("text"):
        yield from (("lengths", replace(PLAIN, length=length, rows=rows)) for length in _TEXT_LENGTHS for rows in (1, 2))
        yield "together", replace(PLAIN, rows=4, length=77, seed=1)
        return
    if case.denoises:
        yield from (("times", replace(PLAIN, timesteps=(each,))) for each in _TIMES)
        yield "times", replace(PLAIN, rows=3, timesteps=_ROW_TIMES)
        yield from (("lengths", replace(PLAIN, length=length)) for length in _LENGTHS)
    if case.component == "unet":
        yield from (("residuals", replace(PLAIN, residuals=True, rows=rows, width=8 * rows)) for rows in (1, 2))
    if case.component == "safety_checker":
        return
    yield from (("sizes", replace(PLAIN, height=height, width=width)) for height, width in _sizes(case))
    if case.denoises:
        yield "together", replace(PLAIN, rows=2, height=40, width=48, length=77, timesteps=(487.6,), seed=1)


def _sizes(case: Case) -> tuple[tuple[int, int], ...]:
    """Large ones where they cost little: the wide level of SDXL has no attention."""
    if (case.family, case.component) == ("sdxl", "unet"):
        return (*_SMALL_SIZES, *_MIDDLE_SIZES, *_LARGE_SIZES)
    if (case.family, case.component) == ("sd1", "unet"):
        return (*_SMALL_SIZES, *_MIDDLE_SIZES)
    return (*_SMALL_SIZES, *_MIDDLE_SIZES[:2])
