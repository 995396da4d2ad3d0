"""How the residuals of a ControlNet are weighed: by their depth in the U-Net, and by the kind of row that they are added to.

Sources: the control modes of Mikubill/sd-webui-controlnet at 56cec5b, ``scripts/hook.py``; ``guess_mode`` of diffusers 0.42.1.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from sdrt.exact.mathematics import PLATFORM, Functions
from sdrt.guidance import Row, is_prompted

__all__ = ["BALANCED", "CONTROL_MODES", "GUESS", "ControlWeights", "control_weights"]


@dataclass(frozen=True)
class ControlWeights:
    """The weight of each residual for each kind of row.

    Parameters
    ----------
    curve : callable
        From the number of residuals, and what powers are computed with, to their weights: see :meth:`by_depth`.
    prompted : bool
        Whether a ControlNet acts on rows with a prompt alone.
    functions : Functions
    """

    curve: Callable[[int, Functions], tuple[float, ...]]
    prompted: bool = False
    functions: Functions = PLATFORM

    def by_depth(self, count: int) -> tuple[float, ...]:
        """Return the weights of so many residuals, from the first convolution down to the middle."""
        return self.curve(count, self.functions)

    def acts_on(self, row: Row) -> bool:
        """Return whether the ControlNet predicts for rows of this kind; residuals of the others are zero."""
        return is_prompted(row) or not self.prompted


def _even(count: int, functions: Functions = PLATFORM) -> tuple[float, ...]:  # noqa: ARG001
    return (1.0,) * count


def _soft(count: int, functions: Functions = PLATFORM) -> tuple[float, ...]:
    """Return weights that fall towards the U-Net's surface, where fine structure is decided: 0.825 to the power of the height.

    >>> [round(weight, 3) for weight in _soft(13)][:3]
    [0.099, 0.121, 0.146]
    """
    return tuple(functions.power(0.825, float(count - 1 - index)) for index in range(count))


def _logarithmic(count: int, functions: Functions = PLATFORM) -> tuple[float, ...]:
    """Return weights that rise from 0.1 to 1, in equal ratios.

    >>> [round(weight, 3) for weight in _logarithmic(3)]
    [0.1, 0.316, 1.0]
    """
    return tuple(functions.power(10.0, index / max(1, count - 1) - 1) for index in range(count))


BALANCED = ControlWeights(_even)
CONTROL_MODES = {"balanced": BALANCED, "prompt": ControlWeights(_soft), "control": ControlWeights(_soft, prompted=True)}
GUESS = ControlWeights(_logarithmic, prompted=True)


def control_weights(mode: str, *, guess: bool, pools: bool, functions: Functions = PLATFORM) -> ControlWeights:
    """Return how the residuals of one ControlNet are weighed.

    Parameters
    ----------
    mode : "balanced", "prompt" or "control"
    guess : bool
        diffusers' ``guess_mode``, which takes the place of "balanced".
    pools : bool
        Whether the ControlNet's residuals are means over the picture (``global_pool_conditions``): it acts on rows with the prompt alone,
        and ``guess`` weighs its residuals evenly. diffusers asks the first of several ControlNets for all; each is asked for itself here.
    """
    weights = replace((BALANCED if pools else GUESS) if guess else CONTROL_MODES[mode], functions=functions)
    return replace(weights, prompted=True) if pools else weights
