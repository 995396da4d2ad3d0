"""Mistakes planted into a network are found at the right module and step; two runs without one are alike."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sdrt
from sdrt.arrays import Float
from sdrt.backends.numpy import attention as numpy_attention
from sdrt.backends.numpy import clip, transformer
from sdrt.compare import Comparison, compare
from sdrt.pipeline.pipeline import Pipeline
from tests.compare import planted

CALL: dict[str, Any] = {"seed": 7, "num_inference_steps": 1, "height": 64, "width": 64}
# of 64 pixels: the middle has a single one, which attends to itself whatever the scale
BLOCK = "down_blocks.0.attentions.0.transformer_blocks.0"


def layers(a: Any, b: Any, **options: Any) -> Comparison:
    return compare(a, b, "a red circle", layers=True, **{**CALL, **options})


def test_runs_without_a_mistake_are_alike(pipe: Pipeline, torch_pipe: Pipeline) -> None:
    """No module of three networks is out of line, whichever side computes from the other's values."""
    for sides in ((pipe, torch_pipe), (torch_pipe, pipe)):
        found = layers(*sides, num_inference_steps=3)
        assert found.first_departure is None
        assert not found.equal
        assert {row.component for row in found.layers} == {"text_encoder", "unet", "vae_decoder"}
        assert not any(row.departs for row in found.layers)
        assert {row.component for row in found.networks} == {"text_encoder", "unet", "scheduler", "vae_decoder"}


# component, the module where the mistake is made, the mistake, the module that is to be named, and the step
PLANTED: list[tuple[str, str, planted.Plant, str, int | None]] = [
    ("unet", "up_blocks.1.resnets.0.conv1", planted.one_weight, "up_blocks.1.resnets.0.conv1", 0),
    ("unet", f"{BLOCK}.attn1.to_out.0", planted.all_weights, f"{BLOCK}.attn1.to_out.0", 0),
    ("unet", f"{BLOCK}.attn2.to_k", planted.one_weight, f"{BLOCK}.attn2.to_k", 0),
    ("unet", "down_blocks.1.attentions.0.norm", planted.epsilon, "down_blocks.1.attentions.0.norm", 0),
    ("unet", f"{BLOCK}.norm2", planted.epsilon, f"{BLOCK}.norm2", 0),
    ("unet", f"{BLOCK}.attn1", planted.no_scale, f"{BLOCK}.attn1", 0),
    ("unet", f"{BLOCK}.ff.net.0", planted.swapped_gate, f"{BLOCK}.ff.net.0", 0),
    ("unet", "down_blocks.1.attentions.0", planted.swapped_pixels, "down_blocks.1.attentions.0", 0),
    ("unet", f"{BLOCK}.attn1.to_v", planted.transposed, f"{BLOCK}.attn1.to_v", 0),
    ("unet", "mid_block.resnets.1.conv2", planted.half, "mid_block.resnets.1.conv2", 0),
    ("unet", "time_proj", planted.late, "time_proj", 2),
    ("text_encoder", "text_model.encoder.layers.1.self_attn", planted.no_scale, "text_model.encoder.layers.1.self_attn", None),
    ("text_encoder", "text_model.encoder.layers.0.layer_norm2", planted.epsilon, "text_model.encoder.layers.0.layer_norm2", None),
    ("vae_decoder", "decoder.up_blocks.1.resnets.0.conv1", planted.one_weight, "decoder.up_blocks.1.resnets.0.conv1", None),
    ("vae_decoder", "decoder.mid_block.attentions.0.to_k", planted.half, "decoder.mid_block.attentions.0.to_k", None),
]


@pytest.mark.parametrize(("component", "path", "mistake", "named", "step"), PLANTED, ids=lambda each: getattr(each, "__name__", None))
def test_a_mistake_is_found_at_its_module_and_step(
    pipe: Pipeline, torch_pipe: Pipeline, component: str, path: str, mistake: planted.Plant, named: str, step: int | None
) -> None:
    with planted.plant(torch_pipe, component, path, mistake):
        comparison = layers(pipe, torch_pipe, num_inference_steps=3 if step else 1)
    found = comparison.first_departure
    assert found is not None
    assert (found.component, found.layer, found.step) == (component, named, step)
    assert found.error > 4e-5
    # nothing behind it inherits its error: what else is out of line is inside it, or passes on its value as its own
    departing = {row.layer for row in comparison.layers if row.departs}
    assert all(f"{named}.".startswith(f"{layer}.") or layer.startswith(f"{named}.") for layer in departing)


def test_a_mistake_of_the_side_that_computes_is_found_as_well(pipe: Pipeline, torch_pipe: Pipeline) -> None:
    """The baseline is the one with the mistake: which of both departs is not said, only where."""
    with planted.plant(torch_pipe, "unet", f"{BLOCK}.attn2", planted.no_scale):
        found = layers(torch_pipe, pipe).first_departure
    assert found is not None
    assert (found.component, found.layer, found.step) == ("unet", f"{BLOCK}.attn2", 0)


def test_mistakes_in_the_numpy_backend(pipe: Pipeline, torch_pipe: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first attention is named for a missing scale, and the first transformer for swapped pixels."""

    attend = numpy_attention.attend

    def no_scale(team: Any, q: Float, k: Float, v: Float, heads: int, **more: Any) -> Float:
        return attend(team, q * np.float32(np.sqrt(q.shape[-1] // heads)), k, v, heads, **more)

    with monkeypatch.context() as patch:
        patch.setattr(transformer, "attend", no_scale)
        found = layers(torch_pipe, pipe).first_departure
    assert found is not None
    assert (found.component, found.layer) == ("unet", "down_blocks.0.attentions.0.transformer_blocks.0.attn1")
    with monkeypatch.context() as patch:
        patch.setattr(clip, "attend", no_scale)
        found = layers(torch_pipe, pipe).first_departure
    assert found is not None
    assert (found.component, found.layer, found.step) == ("text_encoder", "text_model.encoder.layers.0.self_attn", None)


def test_a_promise_that_a_whole_network_breaks(pipe: Pipeline, folder: Path) -> None:
    """In bfloat16 everything is within bfloat16's rounding, and the first module of the run beyond float32's."""
    with sdrt.load(folder, "torch", dtype="bfloat16") as halved:
        assert layers(pipe, halved).first_departure is None
        found = layers(pipe, halved, layer_tolerance=4e-5).first_departure
        assert found is not None
        assert (found.component, found.layer) == ("text_encoder", "text_model.embeddings")
