"""Check a sampling loop of one's own."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sdrt.arrays import F64
from sdrt.errors import ConfigError
from sdrt.printable import shown
from sdrt.testing.fault import Fault
from sdrt.testing.foreign_arrays import as_numpy
from sdrt.testing.loops.mistakes import MISTAKES, pairs
from sdrt.testing.loops.networks import LoopNetworks
from sdrt.testing.loops.reference import Loop, LoopCall, LoopTranscript
from sdrt.testing.port_warnings import ignoring_warnings

__all__ = ["check_loop"]

_SD: Mapping[str, Any] = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}

# One scheduler that scales and draws, one that does neither, and one of two calls a step.
CONFIGS: tuple[Mapping[str, Any], ...] = (
    {"_class_name": "EulerAncestralDiscreteScheduler", **_SD},
    {"_class_name": "DDIMScheduler", **_SD, "clip_sample": False, "steps_offset": 1},
    {"_class_name": "HeunDiscreteScheduler", **_SD},
)

# Steps and scale of guidance of each call; its seed is its index.
CALLS = ((4, 7.5), (5, 3.0), (3, 1.5))

# Of the largest value: float32 rounding of a few steps, which guidance magnifies.
_CLOSE = 5e-4

# One step of eight bits, and what rounding the other way makes of it.
_PIXEL_CLOSE = 1.1 / 255


@dataclass(frozen=True, eq=False)
class _Drawn:
    """What a port did in a call."""

    call: LoopCall
    done: LoopTranscript

    def departs(self, wanted: LoopTranscript) -> str | None:
        """Say where this is another run than a loop's; None if it is the same."""
        got = self.done
        if len(got.samples) != len(wanted.samples):
            return f"the network must be called at {len(wanted.samples)} steps, got {len(got.samples)}"
        for i, (a, b) in enumerate(zip(got.timesteps, wanted.timesteps, strict=True)):
            if abs(a - b) > 0.02:
                return f"step {i}: the network's timestep must be {b:g}, got {a:g}"
            if _apart(got.samples[i], wanted.samples[i], _CLOSE):
                return f"step {i}: the network's sample is off by {_error(got.samples[i], wanted.samples[i])}"
        for name, mine, right, bound in (
            ("what the decoder gets", got.decoded, wanted.decoded, _CLOSE),
            ("the image", got.image, wanted.image, None),
        ):
            if mine is not None and right is not None and _apart(mine, right, bound):
                return f"{name} is off by {_error(mine, right)}"
        return None


def _apart(got: F64, wanted: F64, share: float | None) -> bool:
    if got.shape != wanted.shape:
        return True
    bound = _PIXEL_CLOSE if share is None else share * max(float(np.abs(wanted).max()), 1e-3)
    return not bool((np.abs(got - wanted) <= bound).all())


def _error(got: F64, wanted: F64) -> str:
    if got.shape != wanted.shape:
        return f"its shape: {wanted.shape} is right, {got.shape} is not"
    return f"{float(np.abs(got - wanted).max()):.3g}, where its largest value is {float(np.abs(wanted).max()):.3g}"


@ignoring_warnings
def check_loop(generate: Callable[[LoopNetworks, LoopCall], Any], *, configs: Sequence[Mapping[str, Any]] = CONFIGS) -> list[Fault]:
    """Run a loop of text to image over networks of a line each, and compare what it asks of them, and its image.

    Parameters
    ----------
    generate : function of (networks, call)
        Draws one image: encodes ``call.input_ids`` and ``call.negative_input_ids`` with ``networks.text_encoder``, draws latents from
        ``call.stream``, calls ``networks.unet`` with the two rows together or one after the other, steps with ``call.scheduler``, and
        decodes with ``networks.vae_decoder``. It returns the image: floats [1,3,H,W] in [0, 1], or bytes [1,H,W,3]. It may also return the
        latents and not decode them.
    configs : sequence of mappings
        The schedulers to run with.

    Returns
    -------
    list of Fault
        Empty if all is well.

    Raises
    ------
    ConfigError : no function
    """
    if not callable(generate):
        raise ConfigError(f"generate must be a function of (networks, call), got {shown(generate)}; pass the function itself")
    drawn: list[_Drawn] = []
    for config in configs:
        for seed, (steps, scale) in enumerate(CALLS):
            call, networks = LoopCall.of(config, seed, steps, scale), LoopNetworks()
            try:
                result = as_numpy(generate(networks, call))
            except Exception as error:  # noqa: BLE001  # whatever the port raises is what is reported
                return [Fault("raises", f"{call}: {type(error).__name__}: {error}")]
            drawn.append(_Drawn(call, _transcript(networks, result)))
    wrong = [each for each in drawn if each.departs(Loop(each.call).run()) is not None]
    return _explained(wrong, drawn) if wrong else []


def _transcript(networks: LoopNetworks, result: Any) -> LoopTranscript:
    """Return what a loop did: the rows of one step, asked together or one by one, have one sample and one timestep."""
    steps: list[tuple[F64, float]] = []
    for sample, t in networks.rows:
        if not steps or steps[-1][1] != t or not np.array_equal(steps[-1][0], sample):
            steps.append((sample, t))
    decoded = (
        networks.decoded[-1] if networks.decoded else (result.astype(np.float64) if result.ndim == 4 and result.shape[1] == 4 else None)
    )
    image = None
    if networks.decoded and result.dtype == np.uint8:
        image = np.moveaxis(result.astype(np.float64) / 255, -1, 1)
    elif networks.decoded:
        image = result.astype(np.float64)
    return LoopTranscript(tuple(t for _, t in steps), tuple(sample for sample, _ in steps), decoded, image)


def _explained(wrong: Sequence[_Drawn], drawn: Sequence[_Drawn]) -> list[Fault]:
    """Find the mistake, or the two, that make every call what it is."""
    for mistakes in (MISTAKES, pairs()):
        for mistake in mistakes:
            if all(each.departs(mistake.make(each.call).run()) is None for each in drawn):
                return [Fault(kind, f"{text}; {_describe(wrong[0])}") for kind, text in zip(mistake.kinds, mistake.texts, strict=True)]
    return [Fault("unexplained", f"no known mistake does this; {_describe(each)}") for each in wrong[:1]]


def _describe(each: _Drawn) -> str:
    return f"{each.call}: {each.departs(Loop(each.call).run())}"
