"""Faults that are planted in backends, each found under its name; and sdrt's own backends, which have none."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers.models.activations import GEGLU
from diffusers.models.attention_processor import Attention
from diffusers.models.embeddings import Timesteps
from torch import nn
from torch.nn import functional
from transformers.models.clip.modeling_clip import CLIPAttention

from sdrt.arrays import Array
from sdrt.backends import Backend
from sdrt.testing.networks import check, check_backend
from sdrt.testing.networks.cases import Case
from sdrt.testing.networks.mistakes import MISTAKES
from sdrt.testing.networks.trials import settings_of
from tests.testing.networks.spoiled import Mistaken, Run, Spoiled, SpoiledTorch, after, before

Arrays = dict[str, Array]

SD1, XL, REFINER = Case("sd1", "unet"), Case("sdxl", "unet"), Case("sdxl-refiner", "unet")
TEXT, TEXT_2 = Case("sd2", "text_encoder"), Case("sdxl", "text_encoder_2")
CONTROL, DECODER, ENCODER = Case("sd1", "controlnet"), Case("sd1", "vae_decoder"), Case("sd1", "vae_encoder")


@pytest.fixture(autouse=True)
def _numbers_alone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test says about numbers needs no other checks; large calls are made where they are the point."""
    monkeypatch.setattr(check, "CONDUCT", ())
    monkeypatch.setattr(check, "OPENING", ())
    most = 2000 if "sizes" in request.node.name else 400
    monkeypatch.setattr(check, "settings_of", lambda case: [each for each in settings_of(case) if each[1].pixels <= most])


def found(backend: Backend, case: Case, monkeypatch: pytest.MonkeyPatch, **options: Any) -> dict[str, str]:
    """Kinds and messages of the faults in one case."""
    monkeypatch.setattr(check, "CASES", (case,))
    return {fault.kind: fault.message for fault in check_backend(backend, **options)}


def changed(inputs: Mapping[str, Array], **values: Array) -> Arrays:
    return {**inputs, **values}


def late_tokens_replaced(inputs: Arrays) -> Arrays:
    states = inputs["encoder_hidden_states"].copy()
    states[:, 60:] = states[:, :1]
    return changed(inputs, encoder_hidden_states=states)


def late_ids_replaced(inputs: Arrays) -> Arrays:
    ids = inputs["input_ids"].copy()
    ids[:, 60:] = 7
    return changed(inputs, input_ids=ids)


def wrong_from_48(inputs: Mapping[str, Array], outputs: Arrays) -> Arrays:
    return {name: 1.1 * x if max(inputs["sample"].shape[2:]) >= 48 else x for name, x in outputs.items()}


def wrong_fourth_row(inputs: Mapping[str, Array], outputs: Arrays) -> Arrays:
    for x in outputs.values():
        x[3:4] *= 1.02
    return outputs


def mixed_rows(inputs: Mapping[str, Array], outputs: Arrays) -> Arrays:
    return {name: x + 0.01 * (x.mean(axis=0) - x) for name, x in outputs.items()}


def without_residuals(inputs: Arrays) -> Arrays:
    return {name: x for name, x in inputs.items() if not name.startswith("additional")}


def middle_twice(inputs: Arrays) -> Arrays:
    residuals = [name for name in inputs if name.startswith("additional")]
    return changed(inputs, **{name: 2 * inputs[name] for name in residuals[-1:]})


def in_float16(run: Run, inputs: Mapping[str, Array]) -> Arrays:
    """As float16 on both seams; inside, too, a product here and there would round."""
    rounded = {name: x.astype(np.float16).astype(x.dtype) if x.dtype.kind == "f" else x for name, x in inputs.items()}
    return {name: x.astype(np.float16).astype(x.dtype) for name, x in run(rounded).items()}


def first_rows(name: str) -> Any:
    return before(lambda inputs: changed(inputs, **{name: np.repeat(inputs[name][:1], len(inputs[name]), axis=0)}))


def zeroed(name: str) -> Any:
    return before(lambda inputs: changed(inputs, **{name: np.zeros_like(inputs[name])}))


@dataclass(frozen=True)
class Plant:
    """A fault: where it is, under which kind it is found, and words of the message."""

    name: str
    backend: Any
    case: Case
    kind: str
    words: str

    def __str__(self) -> str:
        return self.name


def tanh_gelu(module: nn.Module) -> None:
    if isinstance(module, GEGLU):
        module.gelu = lambda gate: functional.gelu(gate, approximate="tanh")


def with_epsilon(kind: type[nn.Module], epsilon: float) -> SpoiledTorch:
    def change(module: nn.Module) -> None:
        if isinstance(module, kind):
            setattr(module, "eps", epsilon)  # noqa: B010 mypy knows no such field of any module

    return SpoiledTorch(change)


def without_mask(module: nn.Module) -> None:
    if isinstance(module, CLIPAttention):
        module.is_causal = False
        module.register_forward_pre_hook(
            lambda _, args, kwargs: (args, {**kwargs, "attention_mask": None, "is_causal": False}), with_kwargs=True
        )


def sines_first(module: nn.Module) -> None:
    if isinstance(module, Timesteps):
        module.flip_sin_to_cos = False


def one_head(module: nn.Module) -> None:
    if isinstance(module, Attention):
        module.heads = 1


def one_weight(module: nn.Module) -> None:
    """A convolution of some 3x3 weights is off by 1 %: no mistake that has a name."""
    if isinstance(module, nn.Conv2d) and module.weight.shape == (64, 32, 3, 3):
        module.weight.data *= 1.01


def rounding_products(module: nn.Module) -> None:
    """Every product but the last is rounded to float16."""
    if isinstance(module, nn.Linear | nn.Conv2d) and module.weight.shape[0] != 4:
        module.register_forward_hook(lambda module, args, output: output.half().float())


def weights_in_float16(module: nn.Module) -> None:
    for parameter in module.parameters(recurse=False):
        parameter.data = parameter.data.to(torch.float16).to(torch.float32)


PLANTS = (
    Plant("late tokens replaced", Spoiled(before(late_tokens_replaced)), SD1, "tokens_ignored", "tokens from 60 on"),
    Plant("late ids replaced", Spoiled(before(late_ids_replaced)), TEXT, "tokens_ignored", "tokens from 60 on"),
    Plant(
        "sizes from 48 on",
        Spoiled(after(wrong_from_48)),
        XL,
        "wrong_at_some_sizes",
        "height 48 or width 48 and more are wrong, by up to 10 %",
    ),
    Plant("fourth row", Spoiled(after(wrong_fourth_row)), SD1, "row_wrong", "the fourth row is wrong by"),
    Plant(
        "whole timesteps", Spoiled(before(lambda i: changed(i, timestep=np.round(i["timestep"])))), SD1, "timesteps_rounded", "are rounded"
    ),
    Plant("cut timesteps", Spoiled(before(lambda i: changed(i, timestep=np.floor(i["timestep"])))), XL, "timesteps_rounded", "are cut"),
    Plant("timesteps + 1", Spoiled(before(lambda i: changed(i, timestep=i["timestep"] + 1))), SD1, "timesteps_off_by_one", "too large"),
    Plant("one timestep", Spoiled(first_rows("timestep")), SD1, "first_row_for_all", "first row's timestep"),
    Plant("one text", Spoiled(first_rows("encoder_hidden_states")), XL, "first_row_for_all", "first row's encoder_hidden_states"),
    Plant("mixed rows", Spoiled(after(mixed_rows)), SD1, "rows_mixed", "the first row's inputs move the second row's outputs"),
    Plant(
        "rows turned", Spoiled(after(lambda i, o: {n: x[::-1].copy() for n, x in o.items()})), DECODER, "rows_in_another_order", "reverse"
    ),
    Plant("no residuals", Spoiled(before(without_residuals)), SD1, "residuals_ignored", "are ignored"),
    Plant("middle twice", Spoiled(before(middle_twice)), SD1, "mid_residual_twice", "added twice"),
    Plant("no time_ids", Spoiled(zeroed("time_ids")), XL, "input_ignored", "time_ids is ignored"),
    Plant("no pooled text", Spoiled(zeroed("text_embeds")), REFINER, "input_ignored", "text_embeds is ignored"),
    Plant("float16 outside", Spoiled(in_float16), SD1, "float16_inside", "outputs are numbers of that type"),
    Plant("bfloat16", SpoiledTorch(dtype="bfloat16"), SD1, "bfloat16_inside", "bfloat16 inside"),
    Plant("float16 inside", SpoiledTorch(rounding_products), XL, "float16_inside", "errors change with the last bits"),
    Plant("tanh", SpoiledTorch(tanh_gelu), SD1, "gelu_by_tanh", "approximation by tanh"),
    Plant("layer norms", with_epsilon(nn.LayerNorm, 1e-3), TEXT, "layer_norm_epsilon", "epsilon of 0.001"),
    Plant("group norms", with_epsilon(nn.GroupNorm, 1e-3), XL, "group_norm_epsilon", "epsilon of 0.001"),
    Plant("no causal mask", SpoiledTorch(without_mask), TEXT_2, "causal_mask_missing", "causal mask is missing"),
    Plant("sines first", SpoiledTorch(sines_first), SD1, "sines_and_cosines_swapped", "sines come before cosines"),
    Plant("one head", SpoiledTorch(one_head), SD1, "attention_heads", "one head"),
    Plant("half weights", SpoiledTorch(weights_in_float16), SD1, "weights_rounded", "weights are rounded to float16"),
    Plant("one weight", SpoiledTorch(one_weight), SD1, "module_wrong", "down_blocks.1.resnets.0.conv1"),
    Plant(
        "blue first",
        Spoiled(before(lambda i: changed(i, controlnet_cond=i["controlnet_cond"][:, ::-1]))),
        CONTROL,
        "channels_reversed",
        "blue",
    ),
    Plant("pictures in [0, 1]", Spoiled(after(lambda i, o: {"image": o["image"] / 2 + 0.5})), DECODER, "output_rescaled", "[0, 1]"),
    Plant("latents divided", Spoiled(before(lambda i: {"z": i["z"] / 0.18215})), DECODER, "latents_rescaled", "divided by 0.18215"),
    Plant("stretched picture", Spoiled(before(lambda i: {"x": 2 * i["x"] - 1})), ENCODER, "picture_rescaled", "stretched"),
    Plant(
        "last for penultimate",
        Spoiled(after(lambda i, o: changed(o, penultimate_hidden_state=o["last_hidden_state"].copy()))),
        TEXT,
        "outputs_exchanged",
        "penultimate_hidden_state is the last one",
    ),
    Plant(
        "pooled first",
        Spoiled(after(lambda i, o: changed(o, pooled=o["last_hidden_state"][:, 0].copy()))),
        TEXT,
        "pooled_elsewhere",
        "first",
    ),
)


# Those that an earlier suite missed, and one of each sort of mistake; the others take a minute more.
QUICK = {
    "late ids replaced",
    "sizes from 48 on",
    "fourth row",
    "whole timesteps",
    "middle twice",
    "no time_ids",
    "tanh",
    "layer norms",
    "no causal mask",
    "latents divided",
}


def marked(plant: Plant) -> Any:
    return pytest.param(plant, id=plant.name, marks=() if plant.name in QUICK else pytest.mark.slow)


@pytest.mark.parametrize("plant", [marked(plant) for plant in PLANTS])
def test_a_planted_fault_is_named(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = found(plant.backend, plant.case, monkeypatch)
    assert set(kinds) == {plant.kind}, kinds
    assert plant.words in kinds[plant.kind]
    assert str(plant.case) in kinds[plant.kind]


def test_the_document_lists_every_planted_fault() -> None:
    document = (Path(__file__).parents[3] / "docs" / "testing.md").read_text(encoding="utf-8")
    listed = document.partition("**Backends: numbers**")[2]
    assert {plant.kind for plant in PLANTS if f"`{plant.kind}`" not in listed} == set()
    assert len(PLANTS) == 32
    assert {plant.name for plant in PLANTS} >= QUICK


@pytest.mark.slow
@pytest.mark.parametrize("name", MISTAKES)
def test_no_mistake_is_taken_for_another(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those without a port of their own above are planted by the same code: this shows that each is told from all others."""
    monkeypatch.setattr(
        check, "settings_of", lambda case: [each for each in settings_of(case) if each[1].pixels <= 128 and each[1].rows < 3]
    )
    kinds: dict[str, str] = {}
    for case in (Case("sd1", "text_encoder"), TEXT, SD1, Case("sd1", "safety_checker"), DECODER, ENCODER):
        # the smaller epsilons move numbers by about the usual bound
        kinds = found(Mistaken(MISTAKES[name]), case, monkeypatch, bound=3e-5)
        if kinds:
            break
    if MISTAKES[name].kind in ("layer_norm_epsilon", "group_norm_epsilon") and not kinds:
        pytest.skip("an epsilon as small as the right one moves nothing by more than the bound")
    assert set(kinds) == {MISTAKES[name].kind}, kinds
    assert name in kinds[MISTAKES[name].kind]
