"""Merged weights against PEFT: the kinds that it trains, in layers of every form, from the tensors and the configuration that it writes."""

import copy
import json
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from diffusers import UNet2DConditionModel
from peft import LoHaConfig, LoKrConfig, LoraConfig
from safetensors.torch import save_file

from sdrt.models import open_model
from sdrt.models.lora import AppliedLora, open_lora, with_loras

# matrices, and convolutions over one pixel and over nine
LAYERS = r"(?:down_blocks\.0|mid_block)\..*(?:to_k|to_out\.0|conv1|proj_in|time_emb_proj)"
RANKS = {"rank_pattern": {"conv1": 2}, "alpha_pattern": {"to_k": 1.5}}
CONFIGS: dict[str, tuple[Any, dict[str, Any]]] = {
    "lora": (LoraConfig, {"r": 3, "lora_alpha": 2, **RANKS}),
    "rank-stable": (LoraConfig, {"r": 3, "lora_alpha": 2, "use_rslora": True}),
    "dora": (LoraConfig, {"r": 3, "lora_alpha": 2, "use_dora": True}),
    "loha": (LoHaConfig, {"r": 3, "alpha": 2, **RANKS}),
    "loha tucker": (LoHaConfig, {"r": 3, "alpha": 2, "use_effective_conv2d": True}),
    "lokr": (LoKrConfig, {"r": 3, "alpha": 2, "decompose_factor": 2}),
    "lokr of halves": (LoKrConfig, {"r": 3, "alpha": 2, "decompose_both": True, "use_effective_conv2d": True}),
    "lokr whole": (LoKrConfig, {"r": 64, "alpha": 16}),
}


@pytest.fixture(scope="module")
def unet(pristine: dict[str, Path]) -> UNet2DConditionModel:
    return UNet2DConditionModel.from_pretrained(pristine["sd1"] / "unet").requires_grad_(False)


def adapted(unet: UNet2DConditionModel, kind: str) -> Any:
    """A U-Net with an adapter whose tensors are all random."""
    make, options = CONFIGS[kind]
    model = peft.inject_adapter_in_model(make(target_modules=LAYERS, **options), copy.deepcopy(unet))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if any(part in name for part in ("lora_A", "lora_B", "hada_", "lokr_")):
                parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))
            elif "lora_magnitude" in name:
                parameter *= 1 + 0.3 * torch.randn(parameter.shape, generator=generator)
    return model


@pytest.mark.parametrize("kind", CONFIGS)
def test_each_kind_is_merged_as_peft_does(pristine: dict[str, Path], unet: UNet2DConditionModel, tmp_path: Path, kind: str) -> None:
    theirs = adapted(unet, kind)
    state = peft.get_peft_model_state_dict(theirs)
    # as PeftModel.save_pretrained writes them
    file = tmp_path / "adapter_model.safetensors"
    save_file({f"base_model.model.{name}": tensor.contiguous() for name, tensor in state.items()}, file)
    (tmp_path / "adapter_config.json").write_text(json.dumps(theirs.peft_config["default"].to_dict(), default=list))
    model = open_model(pristine["sd1"])
    applied = AppliedLora(open_lora(file, model))
    assert len(applied.lora.deltas["unet"]) > 10
    found, plain = with_loras(model, [applied]).tensors("unet"), model.tensors("unet")
    for name, layer in theirs.named_modules():
        if not hasattr(layer, "merge"):
            continue
        layer.merge()
        wanted = layer.get_base_layer().weight.detach()
        largest = wanted.abs().max()
        assert (wanted - torch.from_numpy(plain[f"{name}.weight"].copy())).abs().max() > 0.02 * largest, name
        # float32: sums of products in another order
        assert (torch.from_numpy(found[f"{name}.weight"]) - wanted).abs().max() < 3e-6 * largest, name
