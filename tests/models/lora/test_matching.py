"""Layers of LoRA files against the weights of a model."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from sdrt.arrays import Array
from sdrt.errors import MissingFileError, ModelError
from sdrt.models import Model, open_model
from sdrt.models.lora import open_lora
from tests.factories import normal

RANK = 3
MATRIX = "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k"
CONVOLUTION = "mid_block.resnets.0.conv1"


@pytest.fixture
def model(pristine: dict[str, Path]) -> Model:
    return open_model(pristine["sd1"])


def pair(model: Model, module: str, prefix: str) -> dict[str, Array]:
    """The two factors of a layer under kohya's or PEFT's names."""
    shape = model.tensors("unet").shape(f"{module}.weight")
    down, up = normal(1, RANK, *shape[1:]), normal(2, shape[0], RANK, *[1] * (len(shape) - 2))
    if prefix == "lora_unet_":
        flat = module.replace(".", "_")
        return {f"lora_unet_{flat}.lora_down.weight": down, f"lora_unet_{flat}.lora_up.weight": up}
    return {f"unet.{module}.lora_A.weight": down, f"unet.{module}.lora_B.weight": up}


@pytest.mark.parametrize("prefix", ["lora_unet_", "unet."])
def test_each_layer_finds_its_weight_and_reads_its_factors_when_asked(model: Model, tmp_path: Path, prefix: str) -> None:
    tensors = pair(model, MATRIX, prefix) | pair(model, CONVOLUTION, prefix)
    file = tmp_path / "lora.safetensors"
    save_file(tensors, file)
    lora = open_lora(file, 0.7, model)
    assert (lora.file, lora.strength, set(lora.layers)) == (file, 0.7, {"unet"})
    layers = {layer.weight: layer for layer in lora.layers["unet"]}
    assert layers.keys() == {f"{MATRIX}.weight", f"{CONVOLUTION}.weight"}
    for module in (MATRIX, CONVOLUTION):
        down, up = pair(model, module, prefix).values()
        layer = layers[f"{module}.weight"]
        np.testing.assert_array_equal(layer.down(), down)
        np.testing.assert_array_equal(layer.up(), up)
        assert (layer.middle, layer.scale) == (None, 1.0)


def test_alpha_comes_from_a_tensor_a_pattern_or_the_whole_file(model: Model, tmp_path: Path) -> None:
    file = tmp_path / "lora.safetensors"
    tensors = pair(model, MATRIX, "unet.") | pair(model, CONVOLUTION, "unet.")
    metadata = {"unet.lora_alpha": 6.0, "unet.alpha_pattern": {"conv1": 12.0}}
    save_file(tensors, file, metadata={"lora_adapter_metadata": json.dumps(metadata)})
    scales = {layer.weight: layer.scale for layer in open_lora(file, 1.0, model).layers["unet"]}
    assert scales == {f"{MATRIX}.weight": 2.0, f"{CONVOLUTION}.weight": 4.0}
    save_file(tensors | {f"unet.{MATRIX}.alpha": np.array(1.5, np.float32)}, file)
    scales = {layer.weight: layer.scale for layer in open_lora(file, 1.0, model).layers["unet"]}
    assert scales == {f"{MATRIX}.weight": 0.5, f"{CONVOLUTION}.weight": 1.0}


def test_a_file_for_another_model_is_refused_by_name(model: Model, tmp_path: Path) -> None:
    file = tmp_path / "lora.safetensors"
    tensors = pair(model, MATRIX, "unet.")
    save_file(tensors | {"unet.up_blocks.9.conv1.lora_A.weight": normal(3, 2, 2)}, file)
    with pytest.raises(ModelError, match=r"1 of its 3 tensors fit nothing in .* \(unet\.up_blocks\.9\.conv1\.lora_A\.weight\)"):
        open_lora(file, 1.0, model)
    save_file({name: tensor[:, :-1] if "lora_A" in name else tensor for name, tensor in tensors.items()}, file)
    with pytest.raises(ModelError, match=r"the layer for unet .*attn2\.to_k\.weight has shapes .*, which do not fit the weight's"):
        open_lora(file, 1.0, model)
    save_file({name: tensor for name, tensor in tensors.items() if "lora_B" not in name}, file)
    with pytest.raises(ModelError, match=r"attn2\.to_k\.weight lacks its up half"):
        open_lora(file, 1.0, model)


@pytest.mark.parametrize(
    "name", ["lora_unet_mid_block_attentions_0_proj_in.hada_w1_a", "lora_te2_text_model_encoder_layers_0_mlp_fc1.alpha", "proj_in.weight"]
)
def test_factors_of_other_kinds_and_components_that_the_model_lacks_are_refused(model: Model, tmp_path: Path, name: str) -> None:
    file = tmp_path / "lora.safetensors"
    save_file(pair(model, MATRIX, "lora_unet_") | {name: normal(3, 2, 2)}, file)
    with pytest.raises(ModelError, match=rf"1 of its 3 tensors fit nothing in .* \({name}\)"):
        open_lora(file, 1.0, model)


def test_a_file_that_is_missing_or_empty_is_refused(model: Model, tmp_path: Path) -> None:
    with pytest.raises(MissingFileError):
        open_lora(tmp_path / "none.safetensors", 1.0, model)
    save_file({}, tmp_path / "empty.safetensors")
    with pytest.raises(ModelError, match=r"must hold the tensors of a LoRA, got none"):
        open_lora(tmp_path / "empty.safetensors", 1.0, model)
