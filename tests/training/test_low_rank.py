"""Low-rank updates: nothing at first, the same merged as beside their layers; shortened halves; encoded scenes on disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from training import chunks
from training.chunks import BATCH, CHUNK, Shelf, batch
from training.export_companions import half
from training.low_rank import add_low_rank, merge, tensors


class _Block(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.resnets = torch.nn.ModuleList([torch.nn.Conv2d(4, 6, 3, padding=1)])
        self.attentions = torch.nn.ModuleList([torch.nn.Linear(8, 5)])
        self.conv_out = torch.nn.Conv2d(6, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        total: torch.Tensor = self.attentions[0](self.conv_out(self.resnets[0](x)))
        return total


def test_updates_merge_into_the_layers() -> None:
    """With their strength; what samples or ends the U-Net has none."""
    torch.manual_seed(0)
    block, picture = _Block(), torch.randn(2, 4, 8, 8)
    plain = block(picture)
    state = {name: values.clone() for name, values in block.state_dict().items()}
    updates = add_low_rank(block, rank=3)
    assert set(updates) == {"resnets.0", "attentions.0"}
    assert not any(values.requires_grad for name, values in block.named_parameters() if "lora" not in name)
    torch.testing.assert_close(block(picture), plain)
    for update in updates.values():
        torch.nn.init.normal_(update.lora_B.weight)
    beside = block(picture)
    assert not torch.allclose(beside, plain)
    weights = tensors(updates)
    assert sorted(weights) == [f"unet.{name}.lora_{part}.weight" for name in ("attentions.0", "resnets.0") for part in "AB"]
    merged = _Block()
    merged.load_state_dict(state)
    merge(merged, weights)
    torch.testing.assert_close(merged(picture), beside, rtol=1e-4, atol=1e-5)
    merge(merged, weights, strength=-1.0)
    torch.testing.assert_close(merged(picture), plain, rtol=1e-4, atol=1e-5)


def test_halves_are_shortened_to_the_nearest() -> None:
    """To 1/256 of the power of two below (twice rounded, so a little more than half of that), either sign; what is short already stays."""
    values = torch.linspace(-3.0, 3.0, 10_001)
    short = half(values)
    assert short.dtype == torch.float16
    steps = 2.0 ** (torch.floor(torch.log2(values.abs().clamp(min=1e-3))) - 8)
    assert ((short.float() - values).abs() <= 0.63 * steps).all()
    assert (short.view(torch.int16) & 3 == 0).all()
    exact = torch.tensor([0.0, -0.0, 1.0, -1.5, 65024.0])
    assert torch.equal(half(exact).float(), exact)


def test_encoded_scenes_are_drawn_with_one_of_their_variants(tmp_path: Path) -> None:
    """A mask and what it keeps belong together; a chunk that is not finished is not read."""
    form: chunks.Form = {"latents": (np.float16, (4,)), "masks": (np.float16, (2, 1)), "kept": (np.float16, (2, 3))}
    written = iter(range(CHUNK // BATCH))

    def encode() -> chunks.Arrays:
        rows = next(written) * BATCH + np.arange(BATCH)
        masks = np.array([0.0, 1.0])[None, :, None].repeat(BATCH, 0)
        return {"latents": (rows % 64)[:, None].repeat(4, 1), "masks": masks, "kept": masks.repeat(3, 2)}

    chunks.write(tmp_path / "hole-00", form, encode)
    (tmp_path / "hole-01.unfinished").mkdir()
    shelf = Shelf.open(tmp_path, "hole", tuple(form))
    drawn = batch([shelf] * 100, np.random.default_rng(0))
    assert drawn["latents"].shape == (100, 4)
    assert len(drawn["latents"][:, 0].unique()) > 30
    assert 20 < drawn["masks"].sum() < 80
    assert torch.equal(drawn["masks"].expand(-1, 3), drawn["kept"])
    with pytest.raises(FileNotFoundError, match="encoded scenes of kind 'control'"):
        Shelf.open(tmp_path, "control", ("latents",))
