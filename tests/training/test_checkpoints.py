"""Checkpoints survive interruptions, and the loop continues from them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from training import checkpoints
from training.loop import LoopSettings, train
from training.team import Team


def test_nothing_saved_is_none(tmp_path: Path) -> None:
    """A stage that never ran has no state."""
    assert checkpoints.load(tmp_path / "none.pt") is None


def test_a_failed_write_leaves_the_old_state(tmp_path: Path) -> None:
    """If writing is interrupted, the last checkpoint is whole and no temporary file remains."""
    path = tmp_path / "deep" / "stage.pt"
    checkpoints.save(path, {"step": 1})
    with pytest.raises(Exception, match="pickle"):
        checkpoints.save(path, {"step": lambda: 2})
    assert checkpoints.load(path) == {"step": 1}
    assert [entry.name for entry in path.parent.iterdir()] == ["stage.pt"]


def test_the_loop_resumes(tmp_path: Path) -> None:
    """A second run with more time starts from the first one's weights, moving average and step, and keeps learning."""
    target = torch.tensor([3.0, -2.0])
    seen: list[float] = []

    def parameter() -> torch.nn.Parameter:
        return torch.nn.Parameter(torch.zeros(2))

    def run(weights: torch.nn.Parameter, minutes: float) -> None:
        def loss(_progress: float) -> dict[str, torch.Tensor]:
            seen.append(float(((weights.detach() - target) ** 2).sum()))
            return {"loss": ((weights - target) ** 2).sum()}

        settings = LoopSettings(
            checkpoint=tmp_path / "s.pt", minutes=minutes, learning_rate=0.01, warmup_steps=1, average=0.9, share_every=1
        )
        train([weights], loss, settings, Team(0, 1))

    run(parameter(), 0.5 / 60.0)
    state = checkpoints.load(tmp_path / "s.pt")
    assert state is not None
    steps, best = state["step"], seen[-1]
    assert steps == len(seen)
    assert best < seen[0]
    seen.clear()
    last = parameter()
    run(last, 1.0 / 60.0)
    assert seen[0] == pytest.approx(best, abs=0.1)
    resumed = checkpoints.load(tmp_path / "s.pt")
    assert resumed is not None
    assert resumed["step"] == steps + len(seen)
    assert torch.allclose(last.detach(), resumed["average"][0])
