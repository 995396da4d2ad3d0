"""The first place in a run where two sides part."""

from collections.abc import Iterator, Sequence

from sdrt.compare.findings import CallRow, Departure, InputRow, LayerRow, PixelRow, StepRow
from sdrt.compare.tolerances import Tolerances

__all__ = ["first_departure"]

# Steps of 8-bit colours that a picture of equal latents may differ by: rounding to the other neighbour.
_COLOURS = 255.0


def first_departure(
    inputs: Sequence[InputRow],
    calls: Sequence[CallRow],
    layers: Sequence[LayerRow],
    steps: Sequence[StepRow],
    pixels: Sequence[PixelRow],
    tolerances: Tolerances,
) -> Departure | None:
    """Return where the error is beyond the tolerance first: in what runs begin with, in a call, or in the sum of small errors.

    Parameters
    ----------
    calls : sequence of CallRow
        In the order of the run.
    """
    found = [
        *_of_inputs(inputs, tolerances),
        *_of_calls(calls, layers, tolerances),
        *(
            Departure(component="latents", step=row.step, layer=None, error=row.latents.relative)
            for row in steps
            if not row.latents.relative <= tolerances.latents
        ),
        *(
            Departure(component="pixels", step=None, layer=None, error=row.max / _COLOURS)
            for row in pixels
            if row.max / _COLOURS > max(tolerances.latents, 1 / _COLOURS)
        ),
    ]
    return found[0] if found else None


def _of_inputs(inputs: Sequence[InputRow], tolerances: Tolerances) -> Iterator[Departure]:
    for row in inputs:
        # noise is drawn in float32 by every side, and rounded at most
        is_tokens = "tokens." in row.name
        if not row.error <= (0.0 if is_tokens else tolerances.rounding):
            step = row.name.rpartition(" ")[2] if row.name.startswith("noise of step") else None
            yield Departure(
                component="tokens" if is_tokens else "noise", step=None if step is None else int(step), layer=None, error=row.error
            )


def _of_calls(calls: Sequence[CallRow], layers: Sequence[LayerRow], tolerances: Tolerances) -> Iterator[Departure]:
    departing: dict[tuple[str, int | None], LayerRow] = {}
    for row in layers:
        if row.departs:
            departing.setdefault((row.component, row.step), row)
    for call in calls:
        allowed = tolerances.scheduler if call.component == "scheduler" else tolerances.network if call.forced else tolerances.latents
        layer = departing.get((call.component, call.step))
        if layer is not None:
            yield Departure(component=call.component, step=call.step, layer=layer.layer, error=layer.error)
        elif not call.difference.relative <= allowed:
            yield Departure(component=call.component, step=call.step, layer=None, error=call.difference.relative)
