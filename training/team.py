"""Run several one-thread processes that average their parameters periodically: on few cores, faster than one process of many threads."""

from __future__ import annotations

import datetime
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.distributed as dist

_PATIENCE = datetime.timedelta(hours=2)  # members may be paused for long, which is not a failure
_RANK, _SIZE = "SDRT_TRAINING_RANK", "SDRT_TRAINING_SIZE"


@dataclass(frozen=True)
class Team:
    """The index of this process among `size` equal ones."""

    rank: int
    size: int

    def average(self, tensors: Sequence[torch.Tensor], elapsed: float) -> float:
        """Replace the tensors by their mean over the team, in place; return the mean of `elapsed`, the same in every member."""
        if self.size == 1:
            return elapsed
        flat = torch.cat([t.reshape(-1) for t in tensors] + [torch.tensor([elapsed])])
        dist.all_reduce(flat)
        flat /= self.size
        for tensor, mean in zip(tensors, torch.split(flat[:-1], [t.numel() for t in tensors]), strict=True):
            tensor.copy_(mean.view_as(tensor))
        return float(flat[-1])

    def leave(self) -> None:
        """End this process's part in the team."""
        if self.size > 1:
            dist.destroy_process_group()


def gather(module: str, processes: int, out: Path) -> Team | None:
    """Start `processes` copies of this command, and wait for them (returns None); in such a copy, join the others.

    Parameters
    ----------
    module : str
        The dotted name of the running module, such as "training.train_vae".
    out : Path
        The folder for the rendezvous file.
    """
    torch.set_num_threads(1)
    if _RANK in os.environ:
        team = Team(int(os.environ[_RANK]), int(os.environ[_SIZE]))
        dist.init_process_group(
            "gloo", init_method=f"file://{(out / 'rendezvous').resolve()}", rank=team.rank, world_size=team.size, timeout=_PATIENCE
        )
        return team
    if processes == 1:
        return Team(0, 1)
    out.mkdir(parents=True, exist_ok=True)
    (out / "rendezvous").unlink(missing_ok=True)
    command = [sys.executable, "-m", module, *sys.argv[1:]]
    members = [
        subprocess.Popen(command, env=os.environ | {_RANK: str(rank), _SIZE: str(processes), "OMP_NUM_THREADS": "1"})  # noqa: S603 - itself
        for rank in range(processes)
    ]
    codes = [member.wait() for member in members]
    if any(codes):
        raise SystemExit(f"{module}: members of the team ended with {codes}; run the same command again to resume")
    return None
