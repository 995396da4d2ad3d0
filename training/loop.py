"""The training loop of all stages: AdamW, warm-up and decay by the clock, moving average, checkpoints, resumption."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from training import checkpoints
from training.team import Team

_SAVE_SECONDS = 100.0
_LOG_SECONDS = 20.0


@dataclass(frozen=True, kw_only=True)
class LoopSettings:
    """How long and how fast a stage learns."""

    checkpoint: Path
    minutes: float  # of wall time, including earlier runs of the same stage
    learning_rate: float
    weight_decay: float = 0.01
    average: float = 0.999  # decay of the moving average, per step
    share_every: int = 8  # steps between two averagings over the team
    warmup_steps: int = 150
    decay_from: float = 0.6  # share of the time after which the rate falls linearly to zero


def _rate(settings: LoopSettings, step: int, progress: float) -> float:
    """Return the factor on the learning rate."""
    warm = min(1.0, (step + 1) / settings.warmup_steps)
    return warm * min(1.0, max(0.0, (1.0 - progress) / (1.0 - settings.decay_from)))


def train(
    parameters: list[torch.nn.Parameter], loss: Callable[[float], dict[str, torch.Tensor]], settings: LoopSettings, team: Team
) -> None:
    """Train until the time is over, then leave the moving average in the parameters.

    Parameters
    ----------
    parameters : list of Parameter
        The parameters to train; nothing else is changed.
    loss : progress in 0..1 -> named scalars
        Draws its own batch. The entry "loss" is minimised, the others are logged.
    """
    optimizer = torch.optim.AdamW(parameters, lr=settings.learning_rate, betas=(0.9, 0.99), weight_decay=settings.weight_decay)
    slow = [p.detach().clone() for p in parameters]
    step, elapsed = 0, 0.0
    if state := checkpoints.load(settings.checkpoint):
        for parameter, average, values in zip(parameters, slow, zip(state["weights"], state["average"], strict=True), strict=True):
            parameter.data.copy_(values[0])
            average.copy_(values[1])
        optimizer.load_state_dict(state["optimizer"])
        step, elapsed = state["step"], state["elapsed"]
    limit, started = settings.minutes * 60.0, time.monotonic() - elapsed
    saved = logged = elapsed

    def save() -> None:
        if team.rank == 0:
            checkpoints.save(
                settings.checkpoint,
                {
                    "weights": [p.detach() for p in parameters],
                    "average": slow,
                    "optimizer": optimizer.state_dict(),
                    "step": step,
                    "elapsed": elapsed,
                },
            )

    while elapsed < limit:
        for group in optimizer.param_groups:
            group["lr"] = settings.learning_rate * _rate(settings, step, elapsed / limit)
        terms = loss(elapsed / limit)
        optimizer.zero_grad(set_to_none=True)
        terms["loss"].backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        step += 1
        if step % settings.share_every:
            continue
        elapsed = team.average([p.data for p in parameters], time.monotonic() - started)
        keep = min(settings.average**settings.share_every, step / (step + 10.0 * settings.share_every))
        torch._foreach_lerp_(slow, [p.data for p in parameters], 1.0 - keep)
        if team.rank == 0 and elapsed - logged > _LOG_SECONDS:
            logged = elapsed
            print(f"{elapsed:7.0f} s step {step:6d} " + " ".join(f"{k} {v.item():.4f}" for k, v in terms.items()), flush=True)
        if elapsed - saved > _SAVE_SECONDS:
            saved = elapsed
            save()
    save()
    for parameter, average in zip(parameters, slow, strict=True):
        parameter.data.copy_(average)
