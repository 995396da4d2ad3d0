"""Checkpoints in one file: what their family says beside the weights, and what is said of a file that cannot be used."""

import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import sdrt
from sdrt.errors import ConfigError, MissingFileError, ModelError, SdrtError, WeightsError
from sdrt.models import open_component, open_model
from sdrt.tokenizer import ClipTokenizer
from tests.models.families import Family, narrow, save_original
from tests.models.original_names import Tensors, original_vae

UNET = "model.diffusion_model."
TEXT = "cond_stage_model.transformer.text_model."


@pytest.fixture(scope="module")
def tensors(checkpoint: Path) -> Tensors:
    return load_file(checkpoint)


def renamed(old: str, new: str) -> Callable[[Tensors], Tensors]:
    return lambda tensors: {name.replace(old, new): tensor for name, tensor in tensors.items()}


def without(*prefixes: str) -> Callable[[Tensors], Tensors]:
    return lambda tensors: {name: tensor for name, tensor in tensors.items() if not name.startswith(prefixes)}


def only(**entries: tuple[int, ...]) -> Callable[[Tensors], Tensors]:
    return lambda tensors: {name.replace("__", "."): torch.zeros(shape) for name, shape in entries.items()}


def also(**entries: tuple[int, ...]) -> Callable[[Tensors], Tensors]:
    return lambda tensors: tensors | {name.replace("__", "."): torch.zeros(shape) for name, shape in entries.items()}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (only(double_blocks__0__img_attn__qkv__weight=(2, 2)), r"is a Flux model; as a single file sdrt opens whole checkpoints of Stable"),
        (only(model__diffusion_model__joint_blocks__0__x=(2,)), r"is a Stable Diffusion 3 model"),
        (only(down_blocks__0__resnets__0__conv1__weight=(2, 2)), r"is one component with diffusers' names: pass the folder"),
        (only(lora_unet_down__lora_up__weight=(2, 2)), r"is a LoRA, which changes a model and is none"),
        (only(control_model__zero_convs__0__0__weight=(2, 2)), r"is a ControlNet, not a whole model: pass it as one"),
        (only(emb_params=(2, 2)), r"is a textual inversion: pass it as an embedding"),
        (only(w=(2, 2)), r"has no U-Net \(model\.diffusion_model\.\) by the names of Stable Diffusion 1\.x, 2\.x and XL"),
        (also(edm_mean=(4,)), r"is a Playground 2\.5 model, whose noise schedule is another"),
        (also(**{"edm_vpred.sigma_max": ()}), r"is a CosXL model, whose noise schedule is another"),
        (without("cond_stage_model."), r"has no text encoder \(cond_stage_model\., conditioner\.\)"),
    ],
)
def test_a_file_of_another_kind_is_named_when_it_is_opened(
    tensors: Tensors, tmp_path: Path, change: Callable[[Tensors], Tensors], message: str
) -> None:
    file = tmp_path / "model.safetensors"
    save_file(change(tensors), file)
    with pytest.raises(ModelError, match=message) as caught:
        open_model(file)
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "component", "message"),
    [
        (also(**{f"{UNET}label_emb.0.0.weight": (4, 4)}), "unet", r"conditioned on 4 numbers beside the text.*not image variations"),
        (without(f"{UNET}input_blocks.2."), "unet", r"its levels have .* blocks"),
        (without(f"{UNET}middle_block.1.transformer"), "unet", r"and 0 in the middle; .* the middle has a transformer, as deep"),
        (without(f"{UNET}middle_block."), "unet", r"and 0 in the middle; .* the middle has a transformer, as deep"),
        (without(f"{UNET}middle_block.1", f"{UNET}middle_block.2"), "unet", r"and 0 in the middle; .* the middle has a transformer"),
        (
            renamed("output_blocks.4.1.transformer_blocks", "output_blocks.4.1.others"),
            "unet",
            r"all blocks of a level have transformers, or none: not supported",
        ),
        (without("first_stage_model.encoder."), "vae_decoder", r"the encoder of its VAE is missing"),
        (without("first_stage_model."), "vae_decoder", r"has no vae_decoder; its components are text_encoder, unet"),
        (without(f"{TEXT}embeddings.token"), "text_encoder", r"the text encoder's embeddings or first layer are missing"),
        (
            also(**{f"{TEXT}embeddings.token_embedding.weight": (50, 64)}),
            "text_encoder",
            r"must know CLIP's 49408 tokens, got 50",
        ),
    ],
)
def test_a_part_of_another_architecture_is_one_error(
    tensors: Tensors, tmp_path: Path, change: Callable[[Tensors], Tensors], component: sdrt.models.ComponentName, message: str
) -> None:
    file = tmp_path / "model.safetensors"
    save_file(change(tensors), file)
    with pytest.raises(ModelError, match=message) as caught:
        open_model(file).config(component)
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_projection_that_is_not_three_is_one_error(tmp_path: Path) -> None:
    original = {name: tensor.contiguous() for name, tensor in narrow("sd2").original.items()}
    name = "cond_stage_model.model.transformer.resblocks.0.attn.in_proj_bias"
    save_file(original | {name: torch.zeros(100)}, tmp_path / "model.safetensors")
    with pytest.raises(WeightsError, match=rf"tensor '{name}' has shape \[100\], which does not hold '.*q_proj\.bias' \(query\)"):
        open_model(tmp_path / "model.safetensors").tensors("text_encoder")


def damaged(content: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def damage(file: Path) -> None:
        file.write_bytes(content(file.read_bytes()))

    return damage


@pytest.mark.parametrize(
    ("damage", "error", "message"),
    [
        (damaged(lambda whole: whole[:-10]), WeightsError, r"not a whole safetensors file"),
        (damaged(lambda whole: b"version https://git-lfs.github.com/spec/v1\n"), WeightsError, r"a Git-LFS pointer"),
        (Path.unlink, MissingFileError, r"no such file; pass a checkpoint"),
    ],
)
def test_a_damaged_checkpoint_is_one_error(
    checkpoint: Path, tmp_path: Path, damage: Callable[[Path], None], error: type[SdrtError], message: str
) -> None:
    file = Path(shutil.copy(checkpoint, tmp_path / "model.safetensors"))
    damage(file)
    with pytest.raises(error, match=message):
        open_model(file)


def test_a_nan_in_a_checkpoint_is_named_where_it_stands(tensors: Tensors, tmp_path: Path) -> None:
    name = f"{UNET}input_blocks.0.0.bias"
    save_file(tensors | {name: torch.full((32,), torch.nan)}, tmp_path / "model.safetensors")
    with pytest.raises(WeightsError, match=rf"tensor '{name}' holds 32 NaN or infinite values"):
        open_model(tmp_path / "model.safetensors").tensors("unet").take("conv_in.bias", (32,))


@pytest.mark.parametrize(
    ("family", "scheduler", "prediction", "pads"),
    [
        ("sd1", "PNDMScheduler", "epsilon", {"text_encoder": "<|endoftext|>"}),
        ("inpaint", "PNDMScheduler", "epsilon", {"text_encoder": "<|endoftext|>"}),
        ("sd2", "DDIMScheduler", "v_prediction", {"text_encoder": "!"}),
        ("sdxl", "EulerDiscreteScheduler", "epsilon", {"text_encoder": "<|endoftext|>", "text_encoder_2": "!"}),
        ("refiner", "EulerDiscreteScheduler", "epsilon", {"text_encoder_2": "!"}),
    ],
)
def test_a_family_says_what_no_tensor_says(family: Family, scheduler: str, prediction: str, pads: dict[str, str], tmp_path: Path) -> None:
    import diffusers

    model = open_model(save_original(narrow(family), tmp_path / "model.safetensors"))
    config = model.scheduler_config
    assert (config["_class_name"], config["prediction_type"], dict(model.pad_tokens)) == (scheduler, prediction, pads)
    # every key is one of the peer's own
    peer = getattr(diffusers, scheduler).from_config(config)
    known = config.keys() & peer.config.keys()
    assert len(known) > 7
    assert {key: peer.config[key] for key in known} == {key: config[key] for key in known}
    assert (model.tokenizer_path, model.tokenizer_2_path) == (None, None)
    for pad in pads.values():
        assert ClipTokenizer.clip(pad).vocab_size == 49408
    assert model.flags.force_zeros_for_empty_prompt is (family == "sdxl")


def test_the_prediction_type_is_told_by_the_caller_a_mark_or_the_metadata(tmp_path: Path) -> None:
    made = narrow("sd2")
    plain = save_original(made, tmp_path / "plain.safetensors")
    said = save_original(made, tmp_path / "said.safetensors", **{"modelspec.prediction_type": "epsilon"})
    mark = tmp_path / "mark.safetensors"
    xl = {name: tensor.contiguous() for name, tensor in narrow("sdxl").original.items()}
    save_file(xl | {"v_pred": torch.zeros(0), "ztsnr": torch.zeros(0)}, mark)

    def found(file: Path, prediction_type: sdrt.models.PredictionType | None = None) -> tuple[str, int]:
        model = open_model(file, prediction_type=prediction_type)
        return model.scheduler_config["prediction_type"], model.config("unet")["sample_size"]

    assert found(plain) == ("v_prediction", 96)
    assert found(plain, "epsilon") == ("epsilon", 64)
    assert found(said) == ("epsilon", 64)
    assert found(said, "v_prediction") == ("v_prediction", 96)
    assert found(mark) == ("v_prediction", 128)
    assert open_model(mark).scheduler_config["rescale_betas_zero_snr"] is True
    with pytest.raises(ConfigError, match=r"prediction_type must be 'epsilon', 'v_prediction' or None, got 'flow'"):
        found(plain, "flow")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("deviation", "channels", "predicts", "size"),
    [(0.091, 4, "v_prediction", 96), (0.089, 4, "epsilon", 64), (0.5, 9, "epsilon", 64), (None, 4, "epsilon", 64)],
)
def test_the_weights_of_one_norm_tell_the_two_kinds_of_stable_diffusion_2(
    deviation: float | None, channels: int, predicts: str, size: int, tmp_path: Path
) -> None:
    """As ComfyUI tells them (``SD20.model_type``), which takes in-painting models for those that predict the noise."""
    tensors = {name: tensor.contiguous() for name, tensor in narrow("sd2").original.items()}
    name = f"{UNET}output_blocks.11.1.transformer_blocks.0.norm1.bias"
    bias = tensors.pop(name)
    if deviation is not None:
        tensors[name] = bias / bias.std(unbiased=False) * deviation + 3
    first = f"{UNET}input_blocks.0.0.weight"
    tensors[first] = torch.ones(tensors[first].shape[0], channels, 3, 3)
    save_file(tensors, tmp_path / "model.safetensors")
    model = open_model(tmp_path / "model.safetensors")
    assert (model.scheduler_config["prediction_type"], model.config("unet")["sample_size"]) == (predicts, size)
    if channels == 4:
        assert f"{predicts}, and pictures of {8 * size}x{8 * size}, as the deviation of" in model.remarks["assumed prediction_type"]
    else:
        assert model.remarks == {}
    assert open_model(tmp_path / "model.safetensors", prediction_type="epsilon").remarks == {}


def test_a_checkpoint_draws_what_its_folder_draws(checkpoint: Path, tmp_path: Path) -> None:
    """The same weights in diffusers' layout, by diffusers' own writers."""
    made = narrow("sd1")
    for name, module in made.modules.items():
        module.save_pretrained(tmp_path / "folder" / name)
    save_original(made, tmp_path / "file.safetensors")
    file = open_model(tmp_path / "file.safetensors")
    for component in ("unet", "vae_decoder", "text_encoder"):
        folder = open_component(tmp_path / "folder" / ("vae" if component.startswith("vae") else component), component)
        ours, theirs = file.tensors(component), folder.tensors(component)
        assert sorted(ours) == sorted(theirs)
        assert all((ours[name] == theirs[name]).all() for name in theirs)
    pipe = sdrt.load(tmp_path / "file.safetensors")
    options: dict[str, Any] = {"seed": 1, "num_inference_steps": 1, "height": 64, "width": 64}
    first = np.asarray(pipe.generate("a red circle", **options).images[0])
    assert first.std() > 0
    assert (first != np.asarray(pipe.generate("a blue square", **options).images[0])).any(), "the prompt moves the picture"


def test_a_vae_takes_the_place_of_the_models_own(checkpoint: Path, tmp_path: Path) -> None:
    other = narrow("sd1").modules["vae"]
    for parameter in other.parameters():
        parameter.data *= 1.5
    original = original_vae(other.state_dict(), 4, "")
    save_file({name: tensor.contiguous() for name, tensor in original.items()}, tmp_path / "vae.safetensors")
    pipe = sdrt.load(checkpoint, vae=tmp_path / "vae.safetensors")
    assert pipe.model.where("vae_decoder") == tmp_path / "vae.safetensors"
    own, found = open_model(checkpoint).tensors("vae_decoder"), pipe.model.tensors("vae_decoder")
    np.testing.assert_array_equal(found["decoder.conv_in.weight"], 1.5 * own["decoder.conv_in.weight"])
    save_file({"w": torch.zeros(2)}, tmp_path / "none.safetensors")
    with pytest.raises(ModelError, match=r"is no ControlNet and no VAE by the names of the original code; pass another file"):
        sdrt.load(checkpoint, vae=tmp_path / "none.safetensors")
    other.save_pretrained(tmp_path / "diffusers")
    by_diffusers = sdrt.load(checkpoint, vae=tmp_path / "diffusers" / "diffusion_pytorch_model.safetensors").model
    np.testing.assert_array_equal(by_diffusers.tensors("vae_decoder")["decoder.conv_in.weight"], found["decoder.conv_in.weight"])
    narrow("sd1").modules["unet"].save_pretrained(tmp_path / "unet")
    with pytest.raises(ModelError, match=r"it has diffusers' names, so pass the folder that has its config\.json"):
        sdrt.load(checkpoint, vae=tmp_path / "unet" / "diffusion_pytorch_model.safetensors")


@pytest.mark.parametrize("family", ["sd1", "sd2"])
def test_a_checkpoint_that_was_looked_into_keeps_no_map_of_its_file(family: Family, tmp_path: Path) -> None:
    """So that it can be sent to another process, and its file's memory goes with the networks."""
    file = save_original(narrow(family), tmp_path / "model.safetensors")
    model = open_model(file)
    for component in model.components:
        model.config(component)
        model.tensors(component)
    assert set(model.remarks) <= {"assumed prediction_type"}
    assert len(pickle.dumps(model)) < file.stat().st_size / 10
