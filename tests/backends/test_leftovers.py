"""Tensors of a component that nothing uses, by either reader: idle ones are passed over, add-ons remarked on, all others named."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from sdrt.backends import BackendOptions, registry
from sdrt.backends.pool import NetworkPool
from sdrt.errors import WeightsError
from sdrt.models import ComponentName, StoredModel, open_component, open_model
from tests.backends.numpy.reference import change_config, part_folder
from tests.factories import (
    NARROW_CONTROLNET,
    NARROW_UNET,
    TEXT_ENCODERS,
    random_controlnet,
    random_safety_checker,
    random_text_encoder,
    random_unet,
    random_vae,
)
from tests.models.families import controlnet, narrow
from tests.models.original_names import original_controlnet, original_vae

Tensors = dict[str, torch.Tensor]

ATTENTION = "down_blocks.0.attentions.0.transformer_blocks.0"
PARTS: tuple[ComponentName, ...] = ("unet", "controlnet", "vae_decoder", "vae_encoder", "text_encoder", "safety_checker")


def random_part(component: ComponentName) -> Any:
    match component:
        case "unet":
            return random_unet(NARROW_UNET)
        case "controlnet":
            return random_controlnet(NARROW_CONTROLNET)
        case "safety_checker":
            return random_safety_checker()
        case "text_encoder":
            return random_text_encoder(TEXT_ENCODERS["sd1"])
    return random_vae({"block_out_channels": (8, 8), "norm_num_groups": 2})


@pytest.fixture(scope="module")
def parts() -> Mapping[ComponentName, Any]:
    return {component: random_part(component) for component in PARTS}


@pytest.fixture(params=["numpy", "torch"])
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def opened(model: StoredModel, component: ComponentName, backend: str) -> Mapping[str, str]:
    """Open the component, and return what is remarked on."""
    pool = NetworkPool(model, {component: registry.get(backend)}, {component: BackendOptions(threads=1)})
    try:
        pool.get(component)
        return pool.remarks
    finally:
        pool.close()


def folder_with(folder: Path, component: ComponentName, module: Any, more: Mapping[str, tuple[int, ...]], **changes: Any) -> StoredModel:
    """A folder of this part with more tensors than its own, and another configuration."""
    part_folder(folder, component, module)
    file = next(folder.rglob("*.safetensors"))
    save_file(load_file(file) | {name: torch.ones(shape) for name, shape in more.items()}, file, metadata={"format": "pt"})
    if changes:
        change_config(folder, component, **changes)
    return open_model(folder)


@pytest.mark.parametrize("component", PARTS)
def test_a_component_has_no_leftovers_of_its_own(
    parts: Mapping[ComponentName, Any], component: ComponentName, backend: str, tmp_path: Path
) -> None:
    assert opened(folder_with(tmp_path, component, parts[component], {}), component, backend) == {}


@pytest.mark.parametrize(
    ("component", "name"),
    [
        ("unet", f"{ATTENTION}.attn2.adapter.weight"),
        ("unet", "mid_block.attentions.7.proj_in.weight"),
        ("unet", "unknown"),
        ("controlnet", "controlnet_down_blocks.9.weight"),
        ("controlnet", "task_embedding"),
        ("vae_decoder", "decoder.up_blocks.0.attentions.0.to_q.weight"),
        ("vae_decoder", "decoder.conv_in.extra"),
        ("vae_encoder", "encoder.down_blocks.1.attentions.0.to_q.weight"),
        ("text_encoder", "text_model.encoder.layers.1.adapter.down.weight"),
        ("text_encoder", "text_model.encoder.layers.3.mlp.fc1.weight"),
        ("safety_checker", "vision_model.vision_model.encoder.layers.0.gate"),
        ("safety_checker", "concepts_more"),
    ],
)
def test_a_tensor_without_a_place_is_named(
    parts: Mapping[ComponentName, Any], component: ComponentName, name: str, backend: str, tmp_path: Path
) -> None:
    model = folder_with(tmp_path, component, parts[component], {name: (2,)})
    with pytest.raises(
        WeightsError, match=rf"safetensors: every tensor of the {component} must have a place .* got 1 tensor \('{name}'\)"
    ) as caught:
        opened(model, component, backend)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("component", "name"),
    [
        ("text_encoder", "text_model.embeddings.position_ids"),
        ("text_encoder", "logit_scale"),
        ("text_encoder", "text_projection.weight"),
        ("text_encoder", "vision_model.embeddings.class_embedding"),
        ("unet", "model_ema.diffusion_modelconv_inweight"),
        ("vae_decoder", "loss.discriminator.main.0.weight"),
        ("vae_decoder", "loss.discriminator.main.3.num_batches_tracked"),
        ("vae_decoder", "encoder.more"),
        ("vae_encoder", "decoder.more"),
        ("safety_checker", "vision_model.vision_model.embeddings.position_ids"),
    ],
)
def test_what_is_known_to_be_idle_or_another_components_is_passed_over(
    parts: Mapping[ComponentName, Any], component: ComponentName, name: str, backend: str, tmp_path: Path
) -> None:
    assert opened(folder_with(tmp_path, component, parts[component], {name: (2,)}), component, backend) == {}


@pytest.mark.parametrize(
    ("component", "changes", "named"),
    [
        ("text_encoder", {"num_hidden_layers": 2}, r"16 tensors \('.*encoder\.layers\.2\."),
        ("unet", {"mid_block_type": None}, r"tensors \('mid_block\.attentions\.0\."),
        ("unet", {"mid_block_type": "UNetMidBlock2D"}, r"tensors \('mid_block\.attentions\.0\."),
        ("vae_decoder", {"mid_block_add_attention": False}, r"10 tensors \('decoder\.mid_block\.attentions\.0\."),
        ("vae_decoder", {"use_post_quant_conv": False}, r"2 tensors \('post_quant_conv\.bias', 'post_quant_conv\.weight'\)"),
        ("vae_encoder", {"use_quant_conv": False}, r"2 tensors \('quant_conv\."),
    ],
)
def test_a_configuration_that_describes_less_than_the_file_holds_is_named(
    parts: Mapping[ComponentName, Any], component: ComponentName, changes: dict[str, Any], named: str, backend: str, tmp_path: Path
) -> None:
    with pytest.raises(WeightsError, match=named):
        opened(folder_with(tmp_path, component, parts[component], {}, **changes), component, backend)


@pytest.mark.parametrize(
    "name",
    [
        f"{ATTENTION}.attn2.processor.to_k_ip.weight",
        f"{ATTENTION}.attn2.processor.to_v_ip.0.weight",
        f"{ATTENTION}.fuser.attn.to_q.weight",
        "position_net.linears.0.weight",
        "encoder_hid_proj.image_projection_layers.0.norm.weight",
    ],
)
def test_an_add_on_with_an_input_of_its_own_is_remarked_on(
    parts: Mapping[ComponentName, Any], name: str, backend: str, tmp_path: Path
) -> None:
    model = folder_with(tmp_path, "unet", parts["unet"], {name: (2,)})
    assert list(opened(model, "unet", backend)) == ["unused tensors of unet"]
    assert f"1 tensor ('{name}')" in opened(model, "unet", backend)["unused tensors of unet"]


@pytest.mark.parametrize(
    "names", [("to_q.lora_A.default.weight", "to_q.lora_B.default.weight"), ("processor.to_q_lora.down.weight", "to_q.lora.up.weight")]
)
def test_a_lora_beside_the_weights_is_named_with_the_way_to_merge_it(
    parts: Mapping[ComponentName, Any], names: tuple[str, ...], backend: str, tmp_path: Path
) -> None:
    model = folder_with(tmp_path, "unet", parts["unet"], {f"{ATTENTION}.attn1.{name}": (2,) for name in names})
    with pytest.raises(WeightsError, match=r"the unet has a LoRA beside its weights, in 2 tensors .*; merge it \(fuse_lora of diffusers"):
        opened(model, "unet", backend)


def test_a_second_text_encoder_whose_class_does_not_project_is_named(tmp_path: Path, backend: str) -> None:
    from transformers import CLIPTextModelWithProjection

    module = random_text_encoder({**TEXT_ENCODERS["sd1"], "projection_dim": 24}, kind=CLIPTextModelWithProjection)
    model = folder_with(tmp_path, "text_encoder_2", module, {}, architectures=["CLIPTextModel"])
    with pytest.raises(WeightsError, match=r"got 1 tensor \('text_projection\.weight'\) without one"):
        opened(model, "text_encoder_2", backend)


@pytest.fixture(scope="module")
def sd2() -> Tensors:
    return {name: tensor.contiguous() for name, tensor in narrow("sd2").original.items()}


@pytest.mark.parametrize(
    ("component", "name"),
    [
        ("unet", "model.diffusion_model.label_emb.weight"),
        ("unet", "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn1.adapter.weight"),
        ("vae_decoder", "first_stage_model.decoder.up.1.attn.0.q.weight"),
        ("vae_encoder", "first_stage_model.encoder.down.2.attn.0.norm.weight"),
        ("vae_decoder", "first_stage_model.decoder.mid.attn_1.gate.weight"),
        ("text_encoder", "cond_stage_model.model.transformer.resblocks.24.ln_1.weight"),
        ("text_encoder", "cond_stage_model.model.transformer.resblocks.0.adapter.weight"),
        ("text_encoder", "cond_stage_model.model.token_embedding.bias"),
    ],
)
def test_a_checkpoints_tensor_without_a_place_is_named(
    sd2: Tensors, component: ComponentName, name: str, backend: str, tmp_path: Path
) -> None:
    file = tmp_path / "model.safetensors"
    save_file(sd2 | {name: torch.ones(2)}, file)
    with pytest.raises(WeightsError, match=rf"got 1 tensor \('{name}'\) without one"):
        opened(open_model(file), component, backend)


@pytest.mark.parametrize(
    ("family", "backend"), [("sd1", "torch"), *((family, "numpy") for family in ("sd1", "sd2", "sdxl", "refiner"))], indirect=["backend"]
)
def test_a_checkpoint_as_it_was_published_has_no_leftovers(family: Any, backend: str, tmp_path: Path) -> None:
    """Layers, projections and scales that its makers left out are known."""
    more = {
        "betas": (4,),
        "model_ema.decay": (),
        "denoiser.sigmas": (3,),
        "first_stage_model.loss.logvar": (),
        "first_stage_model.model_ema.num_updates": (),
        "model.diffusion_model.scaled_fp8": (0,),
    }
    file = tmp_path / "model.safetensors"
    original = {name: tensor.contiguous() for name, tensor in narrow(family).original.items()}
    save_file(original | {name: torch.ones(shape) for name, shape in more.items()}, file)
    model = open_model(file)
    assert set(model.remarks) <= {"assumed prediction_type"}
    for component in model.components:
        assert opened(model, component, backend) == {}


def test_tensors_of_no_component_are_remarked_on(sd2: Tensors, tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    save_file(sd2 | {"embedding_manager.vector": torch.ones(2), "cond_stage_model.other": torch.ones(2), "logvar": torch.ones(2)}, file)
    told = open_model(file, prediction_type="epsilon").remarks
    assert list(told) == ["unused tensors of model.safetensors"]
    assert (
        "2 tensors ('cond_stage_model.other', 'embedding_manager.vector') belong to none of its components"
        in told["unused tensors of model.safetensors"]
    )


def test_single_files_of_one_component_are_judged_alike(backend: str, tmp_path: Path) -> None:
    network = controlnet(wide=False)
    original = {name: tensor.contiguous() for name, tensor in original_controlnet(network.state_dict(), network.config).items()}
    beside: Tensors = {"model.diffusion_model.out.2.bias": torch.ones(4), "strange": torch.ones(2)}
    save_file(original | beside, tmp_path / "control.safetensors")
    model = open_component(tmp_path / "control.safetensors", "controlnet")
    assert opened(model, "controlnet", backend) == {}
    assert "1 tensor ('strange')" in model.remarks["unused tensors of control.safetensors"]
    save_file(original | {"control_model.task_embedding": torch.ones(2)}, tmp_path / "union.safetensors")
    with pytest.raises(WeightsError, match=r"1 tensor \('control_model\.task_embedding'\)"):
        opened(open_component(tmp_path / "union.safetensors", "controlnet"), "controlnet", backend)
    # without a prefix every tensor is the component's
    vae = {name: tensor.contiguous() for name, tensor in original_vae(narrow("sd1").modules["vae"].state_dict(), 4, "").items()}
    save_file(vae | {"loss.logvar": torch.ones(1), "strange": torch.ones(2)}, tmp_path / "vae.safetensors")
    with pytest.raises(WeightsError, match=r"the vae_decoder must .* got 1 tensor \('strange'\)"):
        opened(open_component(tmp_path / "vae.safetensors", "vae_decoder"), "vae_decoder", backend)


def test_low_memory_judges_alike(parts: Mapping[ComponentName, Any], tmp_path: Path) -> None:
    options = BackendOptions(threads=1, low_memory=True)
    for more, remarks in (({}, []), ({"position_net.null": (2,)}, ["unused tensors of unet"])):
        model = folder_with(tmp_path / str(len(more)), "unet", parts["unet"], more)
        pool = NetworkPool(model, {"unet": registry.get("numpy")}, {"unet": options}, keep_loaded=False)
        with pool.using("unet"):
            assert list(pool.remarks) == remarks
        pool.close()


def test_a_backend_that_reads_no_weights_is_not_judged(tmp_path: Path, parts: Mapping[ComponentName, Any]) -> None:
    from tests.fake_backend import FakeBackend

    model = folder_with(tmp_path, "unet", parts["unet"], {"unknown": (2,)})
    pool = NetworkPool(model, {"unet": FakeBackend()}, {"unet": BackendOptions()})
    assert pool.get("unet").signature.outputs[0].name == "noise_pred"
    assert pool.remarks == {}


def test_a_refused_component_leaves_the_pool_usable(tmp_path: Path, parts: Mapping[ComponentName, Any]) -> None:
    model = folder_with(tmp_path, "unet", parts["unet"], {"unknown": (2,)})
    pool = NetworkPool(model, {"unet": registry.get("numpy")}, {"unet": BackendOptions(threads=1)})
    for _ in range(2):
        with pytest.raises(WeightsError, match="'unknown'"):
            pool.get("unet")
    assert not pool.is_open("unet")
    file = next(tmp_path.rglob("*.safetensors"))
    save_file({name: tensor for name, tensor in load_file(file).items() if name != "unknown"}, file)
    assert pool.get("unet").signature.inputs[0].name == "sample"
    pool.close()
