"""Layers of LoRA files against the weights of a model."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from sdrt.arrays import Array
from sdrt.errors import ConfigError, MissingFileError, ModelError, SdrtError, WeightsError
from sdrt.models import Model, open_model
from sdrt.models.lora import AppliedLora, identity_of, open_lora, with_loras
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


def merged(model: Model, file: Path, module: str, strength: float = 1.0) -> Array:
    """What a file adds to a weight, in units of the product of its factors."""
    name = f"{module}.weight"
    return with_loras(model, [AppliedLora(open_lora(file, model), strength)]).tensors("unet")[name] - model.tensors("unet")[name]


def product(down: Array, up: Array) -> Array:
    summed: Array = np.einsum("or,r...->o...", up.reshape(up.shape[:2]), down)
    return summed


@pytest.mark.parametrize("prefix", ["lora_unet_", "unet."])
def test_each_layer_finds_its_weight(model: Model, tmp_path: Path, prefix: str) -> None:
    tensors = pair(model, MATRIX, prefix) | pair(model, CONVOLUTION, prefix)
    file = tmp_path / "lora.safetensors"
    save_file(tensors, file)
    lora = open_lora(file, model)
    assert (lora.file, lora.name, set(lora.deltas)) == (file, "lora", {"unet"})
    assert lora.deltas["unet"].keys() == {f"{MATRIX}.weight", f"{CONVOLUTION}.weight"}
    for module in (MATRIX, CONVOLUTION):
        wanted = 0.7 * product(*pair(model, module, prefix).values())
        np.testing.assert_allclose(merged(model, file, module, 0.7), wanted, rtol=0, atol=1e-5)


def scale(model: Model, file: Path, module: str) -> float:
    """What a layer of `pair` is multiplied by."""
    whole = product(*pair(model, module, "unet.").values())
    return float(np.vdot(merged(model, file, module), whole) / np.vdot(whole, whole))


def test_alpha_comes_from_a_tensor_a_pattern_or_the_whole_file(model: Model, tmp_path: Path) -> None:
    file = tmp_path / "lora.safetensors"
    tensors = pair(model, MATRIX, "unet.") | pair(model, CONVOLUTION, "unet.")
    metadata = {"unet.lora_alpha": 6.0, "unet.alpha_pattern": {"conv1": 12.0}}
    save_file(tensors, file, metadata={"lora_adapter_metadata": json.dumps(metadata)})
    assert [scale(model, file, each) for each in (MATRIX, CONVOLUTION)] == pytest.approx([2.0, 4.0], abs=1e-5)
    save_file(tensors | {f"unet.{MATRIX}.alpha": np.array(1.5, np.float32)}, file)
    assert [scale(model, file, each) for each in (MATRIX, CONVOLUTION)] == pytest.approx([0.5, 1.0], abs=1e-5)


def test_a_file_for_another_model_is_refused_by_name(model: Model, tmp_path: Path) -> None:
    file = tmp_path / "lora.safetensors"
    tensors = pair(model, MATRIX, "unet.")
    save_file(tensors | {"unet.up_blocks.9.conv1.lora_A.weight": normal(3, 2, 2)}, file)
    with pytest.raises(ModelError, match=r"of its 3 tensors, 1 tensor \('unet\.up_blocks\.9\.conv1\.lora_A\.weight'\) fit nothing in"):
        open_lora(file, model)
    save_file({name: tensor[:, :-1] if "lora_A" in name else tensor for name, tensor in tensors.items()}, file)
    with pytest.raises(ModelError, match=r"the layer for unet .*attn2\.to_k\.weight has shapes .*, which do not fit the weight's"):
        open_lora(file, model)
    save_file({name: tensor for name, tensor in tensors.items() if "lora_B" not in name}, file)
    with pytest.raises(ModelError, match=r"attn2\.to_k\.weight lacks its up half"):
        open_lora(file, model)


@pytest.mark.parametrize(
    "name", ["lora_unet_mid_block_attentions_0_proj_in.oft_blocks", "lora_te2_text_model_encoder_layers_0_mlp_fc1.alpha", "proj_in.weight"]
)
def test_factors_of_other_kinds_and_components_that_the_model_lacks_are_refused(model: Model, tmp_path: Path, name: str) -> None:
    file = tmp_path / "lora.safetensors"
    save_file(pair(model, MATRIX, "lora_unet_") | {name: normal(3, 2, 2)}, file)
    with pytest.raises(ModelError, match=rf"of its 3 tensors, 1 tensor \('{name}'\) fit nothing in"):
        open_lora(file, model)


def test_a_file_that_is_missing_or_empty_is_refused(model: Model, tmp_path: Path) -> None:
    with pytest.raises(MissingFileError):
        open_lora(tmp_path / "none.safetensors", model)
    save_file({}, tmp_path / "empty.safetensors")
    with pytest.raises(ModelError, match=r"must hold the tensors of a LoRA, got none"):
        open_lora(tmp_path / "empty.safetensors", model)


@pytest.mark.parametrize(
    ("alpha", "got"),
    [
        (np.array([1.0, 2.0], np.float32), r"F32 of shape \[2\]"),
        (np.array([], np.float32), r"F32 of shape \[0\]"),
        (np.array(np.nan, np.float32), "F32 of nan"),
        (np.array(np.inf, np.float16), "F16 of inf"),
        (np.array(True), "BOOL of True"),
    ],
)
def test_an_alpha_that_is_no_number_is_named(model: Model, tmp_path: Path, alpha: Array, got: str) -> None:
    save_file(pair(model, MATRIX, "unet.") | {f"unet.{MATRIX}.alpha": alpha}, tmp_path / "lora.safetensors")
    with pytest.raises(WeightsError, match=rf"attn2\.to_k\.alpha' must be a finite number, got {got}; remove it"):
        open_lora(tmp_path / "lora.safetensors", model)


@pytest.mark.parametrize(("alpha", "wanted"), [(np.array(6, np.int64), 2.0), (np.array([6.0], np.float32), 2.0), (np.array(0.0), 0.0)])
def test_an_alpha_may_be_any_one_number(model: Model, tmp_path: Path, alpha: Array, wanted: float) -> None:
    save_file(pair(model, MATRIX, "unet.") | {f"unet.{MATRIX}.alpha": alpha}, tmp_path / "lora.safetensors")
    assert scale(model, tmp_path / "lora.safetensors", MATRIX) == pytest.approx(wanted, abs=1e-5)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", r"not readable as JSON"),
        ("[" * 3000, r"not readable as JSON \(nested deeper than"),
        ("[]", r"lora_adapter_metadata must be a mapping.*, got \[\]"),
        ('{"unet.lora_alpha": "8"}', r"unet\.lora_alpha must be a finite number, or null, got '8'; remove it"),
        ('{"unet.lora_alpha": Infinity}', r"unet\.lora_alpha must be a finite number, or null, got inf"),
        ('{"unet.alpha_pattern": [1]}', r"unet\.alpha_pattern must be a mapping"),
        ('{"unet.alpha_pattern": {"conv1": null}}', r"unet\.alpha_pattern must be a mapping whose values are each a finite number"),
        ('{"unet.use_rslora": "yes"}', r"unet\.use_rslora must be true or false, or null, got 'yes'"),
    ],
)
def test_metadata_of_other_kinds_is_one_error(model: Model, tmp_path: Path, text: str, message: str) -> None:
    save_file(pair(model, MATRIX, "unet."), tmp_path / "lora.safetensors", metadata={"lora_adapter_metadata": text})
    with pytest.raises(WeightsError, match=message) as caught:
        open_lora(tmp_path / "lora.safetensors", model)
    assert str(tmp_path / "lora.safetensors") in str(caught.value)


def test_a_rank_stable_adapter_is_divided_by_the_root_of_its_rank(model: Model, tmp_path: Path) -> None:
    metadata = {"unet.lora_alpha": 6.0, "unet.use_rslora": True}
    save_file(pair(model, MATRIX, "unet."), tmp_path / "lora.safetensors", metadata={"lora_adapter_metadata": json.dumps(metadata)})
    assert scale(model, tmp_path / "lora.safetensors", MATRIX) == pytest.approx(6.0 / RANK**0.5, abs=1e-5)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda x: x.astype(np.int32), WeightsError, r"lora_A\.weight' must be stored as F16, .*, got I32"),
        (lambda x: x[:0], ModelError, r"attn2\.to_k\.weight must have a rank of at least 1, got 0"),
        (lambda x: x.reshape(-1), ModelError, r"which do not fit"),
        (lambda x: x.reshape(-1)[0], ModelError, r"has shapes \[\[\], .*which do not fit"),
    ],
)
def test_factors_of_other_kinds_and_shapes_are_refused(
    model: Model, tmp_path: Path, change: Callable[[Array], Array], error: type[SdrtError], message: str
) -> None:
    tensors = pair(model, MATRIX, "unet.")
    name = f"unet.{MATRIX}.lora_A.weight"
    save_file(tensors | {name: np.array(change(tensors[name]), order="C")}, tmp_path / "lora.safetensors")
    with pytest.raises(error, match=message):
        open_lora(tmp_path / "lora.safetensors", model)


@pytest.mark.parametrize("factor", ["lora_A", "lora_B"])
def test_a_factor_that_is_not_finite_is_named(model: Model, tmp_path: Path, factor: str) -> None:
    tensors = pair(model, MATRIX, "unet.")
    tensors[f"unet.{MATRIX}.{factor}.weight"].flat[3] = np.nan
    save_file(tensors, tmp_path / "lora.safetensors")
    with pytest.raises(WeightsError, match=rf"{factor}\.weight' holds 1 NaN or infinite values"):
        open_lora(tmp_path / "lora.safetensors", model)


@pytest.mark.parametrize("strength", ["1", None, True, float("nan"), [1.0]])
def test_a_strength_is_a_finite_number(model: Model, tmp_path: Path, strength: Any) -> None:
    save_file(pair(model, MATRIX, "unet."), tmp_path / "lora.safetensors")
    with pytest.raises(ConfigError, match="strength must be a finite number"):
        AppliedLora(open_lora(tmp_path / "lora.safetensors", model), strength)


def test_a_strength_that_overflows_names_the_file(model: Model, tmp_path: Path) -> None:
    save_file(pair(model, MATRIX, "unet."), tmp_path / "lora.safetensors")
    changed = with_loras(model, [AppliedLora(open_lora(tmp_path / "lora.safetensors", model), 1e39)])
    with pytest.raises(WeightsError, match=r"lora\.safetensors: must leave .*to_k\.weight finite, got values beyond the range of float32"):
        _ = changed.tensors("unet")[f"{MATRIX}.weight"]


def test_layers_of_two_kinds_or_of_none_are_refused(model: Model, tmp_path: Path) -> None:
    flat = f"lora_unet_{MATRIX.replace('.', '_')}"
    tensors = pair(model, MATRIX, "lora_unet_")
    for more in ({f"{flat}.diff": normal(3, *model.tensors("unet").shape(f"{MATRIX}.weight"))}, {f"{flat}.hada_w1_a": normal(3, 64, 2)}):
        save_file(tensors | more, tmp_path / "lora.safetensors")
        with pytest.raises(ModelError, match=r"to_k\.weight must have the tensors of one kind of LoRA, got "):
            open_lora(tmp_path / "lora.safetensors", model)
    save_file({f"{flat}.dora_scale": normal(3, 64, 1)}, tmp_path / "lora.safetensors")
    with pytest.raises(ModelError, match=r"must have the tensors of one kind of LoRA, got dora_scale"):
        open_lora(tmp_path / "lora.safetensors", model)


def test_strengths_of_networks_and_text_encoders_are_apart(model: Model, tmp_path: Path) -> None:
    text = "encoder.layers.0.mlp.fc1"
    out, into = model.tensors("text_encoder").shape(f"{text}.weight")
    flat = f"lora_te_text_model_{text.replace('.', '_')}"
    added = {f"{flat}.lora_down.weight": normal(3, RANK, into), f"{flat}.lora_up.weight": normal(4, out, RANK)}
    save_file(pair(model, MATRIX, "lora_unet_") | added, tmp_path / "lora.safetensors")
    lora = open_lora(tmp_path / "lora.safetensors", model)
    applied = AppliedLora(lora, 0.5, 0.0)
    assert identity_of([applied], "unet") == ((lora.sha256, 0.5),)
    assert identity_of([applied], "text_encoder") == identity_of([applied], "vae_decoder") == ()
    plain, changed = model.tensors("text_encoder"), with_loras(model, [AppliedLora(lora, 0.0, -2.0)])
    difference = changed.tensors("text_encoder")[f"{text}.weight"] - plain[f"{text}.weight"]
    np.testing.assert_allclose(difference, -2 * product(*added.values()), rtol=0, atol=1e-5)
    np.testing.assert_array_equal(changed.tensors("unet")[f"{MATRIX}.weight"], model.tensors("unet")[f"{MATRIX}.weight"])


def test_digests_are_those_of_other_tools(model: Model, tmp_path: Path) -> None:
    """The whole file, and what follows the header, which kohya's trainer may have written into it."""
    file = tmp_path / "lora.safetensors"
    save_file(pair(model, MATRIX, "unet."), file)
    data = file.read_bytes()
    lora = open_lora(file, model)
    assert lora.sha256 == hashlib.sha256(data).hexdigest()
    assert lora.data_sha256 == hashlib.sha256(data[8 + int.from_bytes(data[:8], "little") :]).hexdigest()
    save_file(pair(model, MATRIX, "unet."), file, metadata={"sshs_model_hash": "0" * 64})
    assert open_lora(file, model).data_sha256 == "0" * 64
