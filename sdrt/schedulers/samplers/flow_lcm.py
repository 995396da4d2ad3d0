"""Multistep consistency sampling of a rectified flow, for models distilled to a few steps.

x' = (1 - sigma') * x0_hat + sigma' * z
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, Literal

from sdrt.schedulers.core.prediction import Prediction
from sdrt.schedulers.core.run import Level, Plan, Request
from sdrt.schedulers.core.sampler import Sampler
from sdrt.schedulers.core.settings import group, setting
from sdrt.schedulers.grids.flow import FlowGrid
from sdrt.schedulers.steps.linear import plan_of
from sdrt.values import Choice

__all__ = ["FlowLCM"]

UpscaleMode = Literal["nearest", "linear", "bilinear", "bicubic", "trilinear", "area", "nearest-exact"]


@dataclass(frozen=True, kw_only=True)
class FlowLCM(Sampler):
    """Each step goes to the predicted picture, and back to the next level with fresh noise.

    Noise is drawn at the last step too, where its weight is 0. Sampling at growing scales (``scale_factors``) changes the sample's shape on
    the way, which no state here does: it is refused, and without it ``upscale_mode`` says nothing.
    """

    name: ClassVar[str] = "FlowMatchLCMScheduler"

    prediction_type: Prediction = "flow_prediction"
    grid: FlowGrid = group(FlowGrid)
    scale_factors: None = setting(None, read=lambda _: None, write=lambda _: {}, kind=Choice(None, []))
    upscale_mode: UpscaleMode = setting("bicubic", write=lambda _: {})

    def _plan(self, request: Request) -> Plan:
        return self._lay_out(self.grid.levels(request))

    def _whole_plan(self) -> Plan:
        """Lay out a run through every trained noise level."""
        return self._lay_out(self.grid.trained_levels())

    def _lay_out(self, stops: tuple[Level, ...]) -> Plan:
        steps = [self.grid.redraw(level, level_next) for level, level_next in pairwise(stops)]
        return plan_of(stops, steps, draws=(True,) * len(steps))

    def x0_weights(self, alpha: float, sigma: float) -> tuple[float, float]:
        """Return (a, b) with x0 = a * x + b * output, at levels where alpha is 1 - sigma."""
        del alpha
        return self.grid.x0_weights(sigma)
