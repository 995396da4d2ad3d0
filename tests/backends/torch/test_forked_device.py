"""A CUDA device in a child that was forked from a process that had used it: one line with the way out, for networks old and new."""

from pathlib import Path

import pytest
import torch

from sdrt.backends import BackendOptions, registry
from sdrt.backends.torch.forked_device import check_forked_device
from sdrt.errors import BackendError
from sdrt.models import open_model, path


def test_a_forked_child_is_told_to_spawn(monkeypatch: pytest.MonkeyPatch) -> None:
    check_forked_device("unet", torch.device("cuda"))
    monkeypatch.setattr(torch.cuda, "_is_in_bad_fork", lambda: True)
    check_forked_device("unet", torch.device("cpu"))
    with pytest.raises(BackendError, match=r"^unet: a CUDA device must be used by .*got a forked child; start worker processes by 'spawn'"):
        check_forked_device("unet", torch.device("cuda"))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA device here")
def test_networks_ask_before_they_are_opened_and_before_they_run(monkeypatch: pytest.MonkeyPatch) -> None:
    model, options = open_model(Path(path("nano"))), BackendOptions(extra={"device": "cuda"})
    network = registry.get("torch").open("vae_decoder", model, options)
    monkeypatch.setattr(torch.cuda, "_is_in_bad_fork", lambda: True)
    with pytest.raises(BackendError, match="forked child"):
        network(z=torch.zeros(1, 4, 8, 8).numpy())
    with pytest.raises(BackendError, match="forked child"):
        registry.get("torch").open("vae_decoder", model, options)
