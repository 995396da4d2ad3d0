"""What the classes of diffusers show otherwise than a plan holds it."""

__all__ = ["VARIANCE_EXPLODING"]

# Classes whose samples are x / alpha: those that diffusers took from k-diffusion, and sdrt's own in their manner.
VARIANCE_EXPLODING = frozenset(
    {
        "DPMPP2MCFGPPScheduler",
        "DPMPP2SAncestralScheduler",
        "DPMSolverSDEScheduler",
        "EulerAncestralCFGPPScheduler",
        "EulerAncestralDiscreteScheduler",
        "EulerCFGPPScheduler",
        "EulerDiscreteScheduler",
        "HeunDiscreteScheduler",
        "KDPM2AncestralDiscreteScheduler",
        "KDPM2DiscreteScheduler",
        "LMSDiscreteScheduler",
        "ResMultistepAncestralScheduler",
        "ResMultistepScheduler",
        "RestartScheduler",
    }
)
