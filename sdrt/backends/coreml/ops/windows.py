"""Where windows stand: what padding kinds mean, and views of all windows of an array."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sdrt.arrays import Array
from sdrt.backends.coreml.ops.arguments import integers, text

__all__ = ["Windows", "windows_of"]


@dataclass(frozen=True, kw_only=True)
class Windows:
    """Padding, steps and count of windows along each spatial axis."""

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    pads: tuple[tuple[int, int], ...]
    counts: tuple[int, ...]

    def padded(self, x: Array, fill: float = 0.0) -> Array:
        """``x`` with its spatial axes padded; x itself where there is nothing to pad."""
        if not any(before or after for before, after in self.pads):
            return x
        lead = [(0, 0)] * (x.ndim - len(self.pads))
        return np.pad(x, [*lead, *self.pads], constant_values=fill)

    def view(self, padded: Array) -> Array:
        """All windows of a padded array: [..., counts, kernel], nothing copied."""
        lead = padded.ndim - len(self.kernel)
        steps = padded.strides[lead:]
        return np.lib.stride_tricks.as_strided(
            padded,
            (*padded.shape[:lead], *self.counts, *self.kernel),
            (
                *padded.strides[:lead],
                *(step * stride for step, stride in zip(steps, self.strides, strict=True)),
                *(step * dilation for step, dilation in zip(steps, self.dilations, strict=True)),
            ),
            writeable=False,
        )


def windows_of(
    sizes: Sequence[int],
    kernel: Sequence[int],
    *,
    strides: Array | None,
    pad_type: Array | str,
    pad: Array | None,
    dilations: Array | None = None,
    ceil_mode: bool = False,
) -> Windows:
    """Where the windows of a convolution or pooling stand.

    Parameters
    ----------
    sizes, kernel : one number a spatial axis
    pad_type : "valid", "custom", "same" or "same_lower"
        Only "custom" looks at ``pad``, which converters write for "valid" too. "same" pads so that ceil(size / stride) windows fit, the
        odd number after, or before with "same_lower".
    pad : before and after, for each axis
    ceil_mode : bool
        Whether a last window that is partly outside counts, as torch has it.

    Raises
    ------
    ValueError : no window fits, or the numbers do not belong together
    """
    rank = len(sizes)
    steps = (1,) * rank if strides is None else integers(strides)
    spread = (1,) * rank if dilations is None else integers(dilations)
    kind = text(pad_type).lower()
    wide = [(size - 1) * dilation + 1 for size, dilation in zip(kernel, spread, strict=True)]
    if len(steps) != rank or min((*steps, *spread, *kernel), default=1) < 1:
        raise ValueError(f"strides {steps}, dilations {spread} and kernel {tuple(kernel)} are positive, one for each of {rank} axes")
    if kind in ("same", "same_lower"):
        total = [max(0, (-(-size // step) - 1) * step + window - size) for size, step, window in zip(sizes, steps, wide, strict=True)]
        lower = kind == "same_lower"
        pads = [((both + lower) // 2, both - (both + lower) // 2) for both in total]
    elif kind == "valid":
        pads = [(0, 0)] * rank
    elif kind == "custom":
        given = (0,) * (2 * rank) if pad is None else integers(pad)
        if len(given) != 2 * rank or min(given, default=0) < 0:
            raise ValueError(f"pad must have two numbers, at least 0, for each of {rank} axes, got {given}")
        pads = list(zip(given[::2], given[1::2], strict=True))
    else:
        raise ValueError(f"pad_type must be valid, custom, same or same_lower, got {kind!r}")
    counts = []
    for axis, (size, step, window) in enumerate(zip(sizes, steps, wide, strict=True)):
        before, after = pads[axis]
        room = size + before + after - window
        count = room // step + 1
        if ceil_mode and room % step and count * step < size + before:
            # the window that is partly outside reads as much padding as it lacks
            pads[axis] = (before, after + step - room % step)
            count += 1
        if count < 1:
            raise ValueError(f"a window of {window} does not fit into {size} numbers padded by {before} and {after}")
        counts.append(count)
    return Windows(kernel=tuple(kernel), strides=steps, dilations=spread, pads=tuple(pads), counts=tuple(counts))
