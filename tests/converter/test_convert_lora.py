"""LoRA files in every naming: merged weights compared with W + strength · alpha/r · up·down, and outputs that change."""

import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import save_file

from converter.options import ConvertOptions
from converter.source import Source, open_source
from sdrt.models import open_model
from sdrt.models.lora import with_loras
from tests.factories import Form

Folders = Callable[[Form], Path]
Tensors = dict[str, torch.Tensor]

RANK, ALPHA, STRENGTH = 3, 2.0, 0.7
MATRIX = "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k"
CONV = "mid_block.resnets.0.conv1"
POINT = "down_blocks.0.attentions.0.proj_in"
TEXT = "encoder.layers.1.self_attn.q_proj"


def drawn(seed: int, *shape: int) -> torch.Tensor:
    return 0.3 * torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def weights_of(source: Source, part: str) -> Mapping[str, torch.Tensor]:
    adapter = source.adapter(part)  # type: ignore[arg-type]
    return {name.removeprefix("module."): value.detach().clone() for name, value in adapter.named_parameters()}


def source_with(folder: Path, file: Path, strength: float = STRENGTH) -> Source:
    return open_source(ConvertOptions(model=str(folder), out=folder, loras=((str(file), strength),)))


def halves(weight: torch.Tensor, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return down and up of a LoRA for a weight."""
    return drawn(seed, RANK, *weight.shape[1:]), drawn(seed + 1, weight.shape[0], RANK, *([1] * (weight.ndim - 2)))


def delta(down: torch.Tensor, up: torch.Tensor, scale: float) -> torch.Tensor:
    """Return the sum of outer products, rank by rank: slow and simple."""
    total = sum(torch.multiply(up[:, r].reshape(-1, *[1] * (down.ndim - 1)), down[r][None]) for r in range(down.shape[0]))
    return scale * torch.as_tensor(total)


def kohya(
    weights: Mapping[str, torch.Tensor], text: Mapping[str, torch.Tensor], prefix: str = "lora_te_"
) -> tuple[Tensors, dict[str, int]]:
    tensors: Tensors = {}
    seeds: dict[str, int] = {}
    for seed, module in ((10, MATRIX), (20, CONV), (30, POINT)):
        down, up = halves(weights[f"{module}.weight"], seed)
        flat = f"lora_unet_{module.replace('.', '_')}"
        tensors |= {f"{flat}.lora_down.weight": down, f"{flat}.lora_up.weight": up, f"{flat}.alpha": torch.tensor(ALPHA)}
        seeds[module] = seed
    down, up = halves(text[f"{TEXT}.weight"], 40)
    flat = f"{prefix}text_model_{TEXT.replace('.', '_')}"
    tensors |= {f"{flat}.lora_down.weight": down, f"{flat}.lora_up.weight": up}
    return tensors, seeds


def test_kohyas_names_are_merged_matrices_and_convolutions(model_folder: Folders, tmp_path: Path) -> None:
    folder = model_folder("sd1")
    plain = Source(model=open_model(folder), name="plain")
    unet, text = weights_of(plain, "unet"), weights_of(plain, "text_encoder")
    tensors, seeds = kohya(unet, text)
    save_file(tensors, tmp_path / "style.safetensors")
    merged = source_with(folder, tmp_path / "style.safetensors")
    changed = {
        f"{module}.weight": delta(*halves(unet[f"{module}.weight"], seed), STRENGTH * ALPHA / RANK) for module, seed in seeds.items()
    }
    for name, value in weights_of(merged, "unet").items():
        assert torch.allclose(value, unet[name] + changed.get(name, 0), rtol=0, atol=1e-6), name
    # Without an alpha, alpha is the rank.
    wanted = text[f"{TEXT}.weight"] + delta(*halves(text[f"{TEXT}.weight"], 40), STRENGTH)
    assert torch.allclose(weights_of(merged, "text_encoder")[f"{TEXT}.weight"], wanted, rtol=0, atol=1e-6)


def test_a_merged_unet_is_one_with_layers_beside_it(model_folder: Folders, tmp_path: Path) -> None:
    """diffusers' U-Net with up(down(x)) added to each layer's output, like an unmerged adapter; it changes the output."""
    folder = model_folder("sd1")
    unet = UNet2DConditionModel.from_pretrained(folder / "unet").eval()
    inputs = (drawn(1, 1, 4, 8, 8), torch.tensor([500.0]), drawn(2, 1, 9, 32))
    with torch.no_grad():
        before = unet(*inputs).sample
    tensors: Tensors = {}
    for seed, (name, module) in enumerate(unet.named_modules()):
        if not name.endswith(("to_k", "to_out.0", "conv1", "proj_in")):
            continue
        down, up = halves(module.weight, 100 + seed)
        tensors |= {f"unet.{name}.lora_A.weight": down, f"unet.{name}.lora_B.weight": up}
        module.register_forward_hook(partial(_beside, down, up, 2 * ALPHA if name.endswith("conv1") else ALPHA))
    said = {"unet.r": RANK, "unet.lora_alpha": ALPHA, "unet.alpha_pattern": {"conv1": 2 * ALPHA}}
    save_file(tensors, tmp_path / "adapter.safetensors", metadata={"lora_adapter_metadata": json.dumps(said)})
    adapter = source_with(folder, tmp_path / "adapter.safetensors").adapter("unet")
    with torch.no_grad():
        wanted = unet(*inputs).sample
        found = adapter(*inputs)[0]
    largest = wanted.abs().max()
    assert (before - wanted).abs().max() > 0.05 * largest
    # float32: several hundred products in a network of this depth.
    assert (found - wanted).abs().max() < 1e-5 * largest


def _beside(down: torch.Tensor, up: torch.Tensor, alpha: float, module: Any, given: Any, output: torch.Tensor) -> torch.Tensor:
    (x,) = given
    if isinstance(module, torch.nn.Conv2d):
        added = torch.conv2d(torch.conv2d(x, down, None, module.stride, module.padding), up)
    else:
        added = x @ down.T @ up.T
    return output + STRENGTH * alpha / RANK * added


@pytest.mark.parametrize(
    "form",
    [
        "unet.{module}.lora_{side}.weight",
        "unet.{module}.lora.{word}.weight",
        "{module}.lora_{side}.weight",
        "base_model.model.{module}.lora_{side}.weight",
    ],
)
def test_other_spellings_are_the_same(model_folder: Folders, tmp_path: Path, form: str) -> None:
    folder = model_folder("sd1")
    weight = weights_of(Source(model=open_model(folder), name="plain"), "unet")[f"{MATRIX}.weight"]
    down, up = halves(weight, 50)
    names = [form.format(module=MATRIX, side=side, word=word) for side, word in (("A", "down"), ("B", "up"))]
    save_file(dict(zip(names, (down, up), strict=True)), tmp_path / "lora.safetensors")
    found = weights_of(source_with(folder, tmp_path / "lora.safetensors"), "unet")[f"{MATRIX}.weight"]
    assert torch.allclose(found, weight + delta(down, up, STRENGTH), rtol=0, atol=1e-6)


def test_diffusers_first_spelling_and_the_text_encoders(model_folder: Folders, tmp_path: Path) -> None:
    folder = model_folder("sd1")
    plain = Source(model=open_model(folder), name="plain")
    out = weights_of(plain, "unet")["mid_block.attentions.0.transformer_blocks.0.attn1.to_out.0.weight"]
    text = weights_of(plain, "text_encoder")[f"{TEXT}.weight"]
    tensors: Tensors = {}
    for seed, weight, form in (
        (60, out, "mid_block.attentions.0.transformer_blocks.0.attn1.processor.to_out_lora.{}.weight"),
        (70, text, f"text_encoder.text_model.{TEXT}.lora_linear_layer.{{}}.weight"),
    ):
        tensors |= {form.format(side): half for side, half in zip(("down", "up"), halves(weight, seed), strict=True)}
    save_file(tensors, tmp_path / "first.safetensors")
    merged = source_with(folder, tmp_path / "first.safetensors")
    found = weights_of(merged, "unet")["mid_block.attentions.0.transformer_blocks.0.attn1.to_out.0.weight"]
    assert torch.allclose(found, out + delta(*halves(out, 60), STRENGTH), rtol=0, atol=1e-6)
    found = weights_of(merged, "text_encoder")[f"{TEXT}.weight"]
    assert torch.allclose(found, text + delta(*halves(text, 70), STRENGTH), rtol=0, atol=1e-6)


def test_xl_under_the_original_codes_names(model_folder: Folders, tmp_path: Path) -> None:
    """kohya's files for Stable Diffusion XL name the U-Net's blocks as the original code does, and have two text encoders."""
    folder = model_folder("sdxl")
    plain = Source(model=open_model(folder), name="plain")
    unet, second = weights_of(plain, "unet"), weights_of(plain, "text_encoder_2")
    names = {
        # With one layer in each level, level k of the down path is blocks 1 + 2k and 2 + 2k; of the up path, 2k and 2k + 1.
        "lora_unet_input_blocks_3_1_transformer_blocks_1_attn2_to_k": "down_blocks.1.attentions.0.transformer_blocks.1.attn2.to_k",
        "lora_unet_input_blocks_2_0_op": "down_blocks.0.downsamplers.0.conv",
        "lora_unet_middle_block_0_in_layers_2": "mid_block.resnets.0.conv1",
        "lora_unet_output_blocks_1_0_emb_layers_1": "up_blocks.0.resnets.1.time_emb_proj",
        "lora_unet_time_embed_0": "time_embedding.linear_1",
    }
    tensors: Tensors = {}
    for seed, (flat, module) in enumerate(names.items()):
        down, up = halves(unet[f"{module}.weight"], 200 + 10 * seed)
        tensors |= {f"{flat}.lora_down.weight": down, f"{flat}.lora_up.weight": up}
    down, up = halves(second["text_projection.weight"], 300)
    tensors |= {"lora_te2_text_projection.lora_down.weight": down, "lora_te2_text_projection.lora_up.weight": up}
    save_file(tensors, tmp_path / "xl.safetensors")
    merged = source_with(folder, tmp_path / "xl.safetensors")
    found = weights_of(merged, "unet")
    for seed, module in enumerate(names.values()):
        weight = unet[f"{module}.weight"]
        assert torch.allclose(found[f"{module}.weight"], weight + delta(*halves(weight, 200 + 10 * seed), STRENGTH), rtol=0, atol=1e-6)
    weight = second["text_projection.weight"]
    assert torch.allclose(
        weights_of(merged, "text_encoder_2")["text_projection.weight"], weight + delta(down, up, STRENGTH), rtol=0, atol=1e-6
    )


def test_tuckers_form_of_a_convolution(model_folder: Folders, tmp_path: Path) -> None:
    folder = model_folder("sd1")
    weight = weights_of(Source(model=open_model(folder), name="plain"), "unet")[f"{CONV}.weight"]
    out, into, height, width = weight.shape
    down, up, middle = drawn(80, RANK, into, 1, 1), drawn(81, out, RANK, 1, 1), drawn(82, RANK, RANK, height, width)
    flat = f"lora_unet_{CONV.replace('.', '_')}"
    file = tmp_path / "locon.safetensors"
    save_file({f"{flat}.lora_down.weight": down, f"{flat}.lora_up.weight": up, f"{flat}.lora_mid.weight": middle}, file)
    found = weights_of(source_with(folder, file), "unet")[f"{CONV}.weight"]
    x = drawn(83, 1, into, 6, 6)
    # Its meaning: three convolutions, one after another.
    convolved = torch.conv2d(torch.conv2d(torch.conv2d(x, down), middle, padding=1), up)
    wanted = torch.conv2d(x, weight, padding=1) + STRENGTH * convolved
    assert torch.allclose(torch.conv2d(x, found, padding=1), wanted, rtol=0, atol=1e-4)


def test_every_kind_is_merged_as_at_run_time(model_folder: Folders, tmp_path: Path) -> None:
    """LoHa, LoKr, DoRA, IA3, full deltas and biases in one file; `tests/models/lora` compares each with its peer."""
    folder = model_folder("sd1")
    weights = weights_of(Source(model=open_model(folder), name="plain"), "unet")
    (out, into), (conv_out, conv_into, *kernel) = weights[f"{MATRIX}.weight"].shape, weights[f"{CONV}.weight"].shape
    layers: dict[str, dict[str, tuple[int, ...]]] = {
        MATRIX: {"hada_w1_a": (out, 2), "hada_w1_b": (2, into), "hada_w2_a": (out, 2), "hada_w2_b": (2, into)},
        CONV: {"lokr_w1": (2, 2), "lokr_w2": (conv_out // 2, conv_into // 2, *kernel), "diff_b": (conv_out,)},
        POINT: {
            "lora_down.weight": (2, *weights[f"{POINT}.weight"].shape[1:]),
            "lora_up.weight": (weights[f"{POINT}.weight"].shape[0], 2, 1, 1),
        },
        "conv_in": {"diff": tuple(weights["conv_in.weight"].shape)},
        "mid_block.resnets.0.norm1": {"w_norm": tuple(weights["mid_block.resnets.0.norm1.weight"].shape)},
    }
    tensors = {
        f"lora_unet_{module.replace('.', '_')}.{name}": drawn(400 + k, *shape)
        for module, factors in layers.items()
        for k, (name, shape) in enumerate(factors.items())
    }
    flat = f"lora_unet_{POINT.replace('.', '_')}"
    tensors[f"{flat}.dora_scale"] = 1 + drawn(500, weights[f"{POINT}.weight"].shape[0], 1, 1, 1).abs()
    save_file(tensors, tmp_path / "kinds.safetensors")
    source = source_with(folder, tmp_path / "kinds.safetensors")
    merged = with_loras(source.model, source.loras).tensors("unet")
    changed = {f"{module}.weight" for module in layers} | {f"{CONV}.bias"}
    for name, value in weights_of(source, "unet").items():
        assert value.numpy().tobytes() == merged[name].astype("float32").tobytes(), name
        assert torch.equal(value, weights[name]) == (name not in changed), name
