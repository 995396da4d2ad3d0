"""DPM-Solver-2 as diffusers 0.42.1 counts its noise levels."""

from dataclasses import dataclass

from sdrt.arrays import Float
from sdrt.schedulers.core.run import Plan
from sdrt.schedulers.samplers.kdpm2 import KDPM2

__all__ = ["DiffusersKDPM2"]


@dataclass(frozen=True, kw_only=True)
class DiffusersKDPM2(KDPM2):
    """In the middle of a step, latents get the noise of its end.

    In-painting with a U-Net of 4 channels so puts back what is kept with too little noise for the second call of each step.
    """

    def add_noise(self, plan: Plan, x0: Float, noise: Float, at: int) -> Float:
        """Return x0 as it looks at stop ``at``; in the middle of a step with the ratio of noise to signal of its end."""
        if not isinstance(plan, Plan) or at in plan.starts or at not in range(plan.num_calls):
            return super().add_noise(plan, x0, noise, at)
        return super().add_noise(plan, x0, noise, at + 1) * float(plan.alphas[at] / plan.alphas[at + 1])
