"""Names and shapes that other tools give the same tensors: each form is read as the plain one, and said as it is where it cannot be."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from sdrt.backends import BackendOptions, registry
from sdrt.backends.pool import NetworkPool
from sdrt.errors import ModelError, WeightsError
from sdrt.models import ComponentName, StoredModel, open_component, open_model
from sdrt.models.plain_names import plain_names
from tests.backends.numpy.reference import part_folder, torch_vae
from tests.factories import TEXT_ENCODERS, VAES, normal, random_safety_checker, random_text_encoder, random_vae
from tests.models.families import controlnet, narrow, save_original
from tests.models.original_names import Tensors, original_controlnet, original_vae

# Names of the middle's attention in the original layout, and whether its weights are pictures of one pixel.
ATTENTIONS: dict[str, tuple[dict[str, str], bool]] = {
    "original": ({}, True),
    "original, matrices": ({}, False),
    "diffusers": ({"q": "to_q", "k": "to_k", "v": "to_v", "proj_out": "to_out.0"}, False),
    "diffusers, pictures": ({"q": "to_q", "k": "to_k", "v": "to_v", "proj_out": "to_out.0"}, True),
    "diffusers, its norm too": ({"q": "to_q", "k": "to_k", "v": "to_v", "proj_out": "to_out.0", "norm": "group_norm"}, False),
    "old diffusers": ({"q": "query", "k": "key", "v": "value", "proj_out": "proj_attn"}, False),
}


def pool_of(model: StoredModel, component: ComponentName) -> NetworkPool:
    return NetworkPool(model, {component: registry.get("numpy")}, {component: BackendOptions(threads=1)})


def rename_attention(tensors: Tensors, names: dict[str, str], pixels: bool) -> Tensors:
    renamed = {}
    for name, tensor in tensors.items():
        head, middle, tail = name.partition(".mid.attn_1.")
        module, _, kind = tail.rpartition(".")
        if middle:
            name = f"{head}{middle}{names.get(module, module)}.{kind}"
            if tensor.ndim == 4 and not pixels:
                tensor = tensor[:, :, 0, 0]
        renamed[name] = tensor.contiguous()
    return renamed


@pytest.fixture(scope="module")
def vae() -> Any:
    return random_vae({**VAES["sd1"], "norm_num_groups": 32, "block_out_channels": (32, 32, 64, 64)})


@pytest.mark.parametrize("form", ATTENTIONS)
@pytest.mark.parametrize("whole", [True, False], ids=["checkpoint", "vae alone"])
def test_the_attention_of_an_autoencoder_is_read_under_all_its_names(vae: Any, form: str, whole: bool, tmp_path: Path) -> None:
    renamed = rename_attention(original_vae(vae.state_dict(), 4, "first_stage_model." if whole else ""), *ATTENTIONS[form])
    file = tmp_path / "model.safetensors"
    if whole:
        others = {name: tensor for name, tensor in narrow("sd1").original.items() if not name.startswith("first_stage_model.")}
        save_file({name: tensor.contiguous() for name, tensor in (others | renamed).items()}, file)
        model = open_model(file)
    else:
        save_file(renamed, file)
        model = open_component(file, "vae_decoder")
    inputs: dict[ComponentName, tuple[str, Any]] = {
        "vae_decoder": ("z", normal(1, 1, 4, 4, 4)),
        "vae_encoder": ("x", normal(2, 1, 3, 32, 32)),
    }
    for half, (name, x) in inputs.items():
        [found] = pool_of(model, half).get(half)(**{name: x}).values()
        wanted = torch_vae(vae, half, "float32")(x)
        assert np.abs(found - wanted).max() < 1e-4 * np.abs(wanted).max()


def test_the_attention_shows_in_the_picture(vae: Any) -> None:
    """So that the comparison above can fail."""
    z = normal(1, 1, 4, 4, 4)
    with_it = torch_vae(vae, "vae_decoder", "float32")(z)
    attention, vae.decoder.mid_block.attentions[0] = vae.decoder.mid_block.attentions[0], torch.nn.Identity()
    vae.decoder.mid_block.attentions[0].forward = lambda x, **_: x
    try:
        without = torch_vae(vae, "vae_decoder", "float32")(z)
    finally:
        vae.decoder.mid_block.attentions[0] = attention
    assert np.abs(with_it - without).max() > 0.01 * np.abs(with_it).max()


def test_an_attention_in_one_half_alone_is_named(vae: Any, tmp_path: Path) -> None:
    tensors = {name: tensor.contiguous() for name, tensor in original_vae(vae.state_dict(), 4, "").items()}
    save_file(
        {name: tensor for name, tensor in tensors.items() if not name.startswith("decoder.mid.attn_1.")}, tmp_path / "vae.safetensors"
    )
    with pytest.raises(WeightsError, match=r"tensor 'decoder\.mid_block\.attentions\.0\..*' of shape .* is missing"):
        pool_of(open_component(tmp_path / "vae.safetensors", "vae_decoder"), "vae_decoder").get("vae_decoder")


@pytest.mark.parametrize("missing", ["encoder", "decoder"])
@pytest.mark.parametrize("prefix", ["", "first_stage_model."])
def test_half_an_autoencoder_says_which_half_is_missing(vae: Any, missing: str, prefix: str, tmp_path: Path) -> None:
    tensors = {name: tensor.contiguous() for name, tensor in original_vae(vae.state_dict(), 4, prefix).items()}
    file = tmp_path / "vae.safetensors"
    save_file({name: tensor for name, tensor in tensors.items() if not name.startswith(f"{prefix}{missing}.")}, file)
    with pytest.raises(ModelError, match=rf"vae\.safetensors: the {missing} of its VAE is missing; pass a file that holds both halves"):
        open_component(file, "vae_decoder").config("vae_decoder")


@pytest.mark.parametrize("prefix", ["", "first_stage_model.", "vae.", "_orig_mod."])
@pytest.mark.parametrize("old", [False, True], ids=["today's names", "before 0.12"])
@pytest.mark.parametrize("quantised", [True, False], ids=["", "without quant_conv"])
def test_an_autoencoder_with_diffusers_names_needs_no_configuration(prefix: str, old: bool, quantised: bool, tmp_path: Path) -> None:
    """What its file does not say follows from shapes; the scale of its latents is that of the model that it is for."""
    module = random_vae(
        {**VAES["sd2"], "norm_num_groups": 32, "block_out_channels": (32, 64, 64), "latent_channels": 8}
        | ({} if quantised else {"use_quant_conv": False, "use_post_quant_conv": False})
    )
    names = {".to_q.": ".query.", ".to_k.": ".key.", ".to_v.": ".value.", ".to_out.0.": ".proj_attn."} if old else {}
    tensors = {}
    for name, tensor in module.state_dict().items():
        renamed = next((name.replace(new, before) for new, before in names.items() if new in name), name)
        tensors[prefix + renamed] = tensor
    save_file(tensors, tmp_path / "vae.safetensors")
    model = open_component(tmp_path / "vae.safetensors", "vae_decoder", scaling_factor=0.13025)
    inputs: dict[ComponentName, tuple[str, Any]] = {
        "vae_decoder": ("z", normal(1, 1, 8, 4, 4)),
        "vae_encoder": ("x", normal(2, 1, 3, 32, 32)),
    }
    for half, (name, x) in inputs.items():
        assert model.config(half)["scaling_factor"] == 0.13025
        pool = pool_of(model, half)
        [found] = pool.get(half)(**{name: x}).values()
        wanted = torch_vae(module, half, "float32")(x)
        assert np.abs(found - wanted).max() < 1e-4 * np.abs(wanted).max()
        assert pool.remarks == model.remarks == {}


def test_an_autoencoder_without_attention_and_configuration_is_refused(vae: Any, tmp_path: Path) -> None:
    """Names of its attention that nobody knows would otherwise pass for none."""
    for original in (True, False):
        tensors = original_vae(vae.state_dict(), 4, "") if original else vae.state_dict()
        kept = {name: x.contiguous() for name, x in tensors.items() if ".attn_1." not in name and ".attentions." not in name}
        save_file(kept, tmp_path / "vae.safetensors")
        with pytest.raises(ModelError, match=r"the attention in the middle of its VAE is missing; pass a folder whose config\.json"):
            open_component(tmp_path / "vae.safetensors", "vae_decoder").config("vae_decoder")


WRAPPERS: dict[str, Callable[[str], str]] = {
    "torch.compile": lambda name: f"_orig_mod.{name}",
    "DataParallel": lambda name: f"module.{name}",
    "both": lambda name: f"module._orig_mod.{name}",
    "a trainer": lambda name: f"student.net.{name}",
    "compiled inside": lambda name: ".".join([*(parts := name.split("."))[:-1], "_orig_mod", parts[-1]]),
    "peft": lambda name: ".".join([*(parts := name.split("."))[:-1], "base_layer", parts[-1]]),
}


def same_tensors(found: Any, wanted: dict[str, torch.Tensor]) -> None:
    assert sorted(found) == sorted(wanted)
    for name, tensor in wanted.items():
        np.testing.assert_array_equal(found[name], tensor.numpy().reshape(found[name].shape))


@pytest.mark.parametrize("wrapper", WRAPPERS)
@pytest.mark.parametrize("component", ["vae_decoder", "text_encoder", "safety_checker"])
def test_what_wraps_all_names_of_a_folder_is_cut(vae: Any, component: ComponentName, wrapper: str, tmp_path: Path) -> None:
    module = {
        "vae_decoder": lambda: vae,
        "text_encoder": lambda: random_text_encoder(TEXT_ENCODERS["sd1"]),
        "safety_checker": random_safety_checker,
    }[component]()
    part_folder(tmp_path, component, module)
    file = next(tmp_path.rglob("*.safetensors"))
    wanted = dict(open_model(tmp_path).tensors(component).items())
    tensors = {WRAPPERS[wrapper](name): tensor for name, tensor in load_file(file).items()}
    save_file(tensors | {"n_averaged": torch.ones(())}, file, metadata={"format": "pt"})
    found = open_model(tmp_path).tensors(component)
    assert set(found) - {"n_averaged"} == set(wanted)
    assert all((found[name] == x).all() for name, x in wanted.items())
    pool = pool_of(open_model(tmp_path), component)
    pool.get(component)
    assert pool.remarks == {}


def doubled(prefix: str) -> Callable[[str], str]:
    return lambda name: prefix + name if name.startswith(prefix) else name


CHECKPOINT_WRAPPERS: dict[str, Callable[[str], str]] = {
    **{name: WRAPPERS[name] for name in ("torch.compile", "DataParallel", "a trainer", "compiled inside")},
    "doubled": doubled("model.diffusion_model."),
    "doubled, the autoencoder": doubled("first_stage_model."),
    "the U-Net compiled": lambda name: name.replace("model.diffusion_model.", "model.diffusion_model._orig_mod."),
    "the U-Net in parallel": lambda name: name.replace("model.diffusion_model.", "model.diffusion_model.module."),
    "a model in a model": lambda name: f"model.{name}",
}


@pytest.mark.parametrize("wrapper", CHECKPOINT_WRAPPERS)
def test_what_wraps_the_names_of_a_checkpoint_is_cut(wrapper: str, tmp_path: Path) -> None:
    made = narrow("sd1")
    tensors = {CHECKPOINT_WRAPPERS[wrapper](name): tensor.contiguous() for name, tensor in made.original.items()}
    save_file(tensors, tmp_path / "model.safetensors")
    model = open_model(tmp_path / "model.safetensors")
    assert model.remarks == {}
    for component in model.components:
        same_tensors(model.tensors(component), made.tensors(component))


@pytest.mark.parametrize("wrapper", ["torch.compile", "DataParallel", "a trainer"])
def test_what_wraps_the_names_of_a_single_component_is_cut(vae: Any, wrapper: str, tmp_path: Path) -> None:
    network = controlnet(wide=False)
    files: dict[ComponentName, tuple[Tensors, Any]] = {
        "vae_decoder": (original_vae(vae.state_dict(), 4, ""), vae),
        "controlnet": (original_controlnet(network.state_dict(), network.config, ""), network),
    }
    for component, (original, module) in files.items():
        file = tmp_path / f"{component}.safetensors"
        save_file({WRAPPERS[wrapper](name): tensor.contiguous() for name, tensor in original.items()}, file)
        same_tensors(open_component(file, component).tensors(component), module.state_dict())


def test_a_prefix_that_some_names_lack_is_said_as_it_is(vae: Any, tmp_path: Path) -> None:
    part_folder(tmp_path, "vae_decoder", vae)
    file = next(tmp_path.rglob("*.safetensors"))
    tensors = load_file(file)
    save_file({name if "conv_out" in name else f"net.{name}": tensor for name, tensor in tensors.items()}, file)
    with pytest.raises(WeightsError, match=r"is missing; the file calls one 'net\.decoder\.\S+', with more before its name"):
        pool_of(open_model(tmp_path), "vae_decoder").get("vae_decoder")


def test_names_that_never_begin_as_the_components_do_stay(tmp_path: Path) -> None:
    names = ["a.b.x", "a.b.y"]
    assert plain_names(names, ["conv_in."]) == {name: name for name in names}
    assert plain_names([], ["conv_in."]) == {}
    assert plain_names(["decoder.a", "decoder.b"], ["encoder.", "decoder."]) == {"decoder.a": "decoder.a", "decoder.b": "decoder.b"}


@pytest.mark.parametrize("half", ["vae_decoder", "vae_encoder"])
@pytest.mark.parametrize("low_memory", [False, True])
def test_axes_of_length_one_at_the_end_of_a_shape_do_not_matter(vae: Any, half: ComponentName, low_memory: bool, tmp_path: Path) -> None:
    """Biases as pictures of one pixel, and matrices as convolutions over one, under the names before diffusers 0.12 too."""
    part_folder(tmp_path, half, vae)
    file = next(tmp_path.rglob("*.safetensors"))
    old = {".to_q.": ".query.", ".to_k.": ".key.", ".to_v.": ".value.", ".to_out.0.": ".proj_attn."}

    def reshape(name: str, tensor: torch.Tensor) -> torch.Tensor:
        if tensor.ndim == 1:
            return tensor[:, None, None]
        return tensor[:, :, None, None] if tensor.ndim == 2 else tensor

    tensors = {}
    for name, tensor in load_file(file).items():
        renamed = next((name.replace(new, before) for new, before in old.items() if new in name), name)
        tensors[renamed] = reshape(name, tensor).contiguous()
    save_file(tensors, file)
    pool = NetworkPool(open_model(tmp_path), {half: registry.get("numpy")}, {half: BackendOptions(threads=1, low_memory=low_memory)})
    x = normal(3, 1, 4, 4, 4) if half == "vae_decoder" else normal(3, 1, 3, 32, 32)
    [found] = pool.get(half)(**{"z" if half == "vae_decoder" else "x": x}).values()
    wanted = torch_vae(vae, half, "float32")(x)
    assert np.abs(found - wanted).max() < 1e-4 * np.abs(wanted).max()


def test_other_shapes_are_refused_as_before(vae: Any, tmp_path: Path) -> None:
    part_folder(tmp_path, "vae_decoder", vae)
    file = next(tmp_path.rglob("*.safetensors"))
    tensors = load_file(file)
    for name, shape in (("decoder.conv_in.bias", (1, 64)), ("decoder.conv_in.weight", (64, 4, 9))):
        save_file(tensors | {name: torch.ones(shape)}, file)
        with pytest.raises(WeightsError, match=rf"tensor '{name}' must have shape .* by config.json"):
            pool_of(open_model(tmp_path), "vae_decoder").get("vae_decoder")


@pytest.mark.parametrize("family", ["sd1", "sd2", "sdxl"])
def test_the_number_of_heads_does_not_hang_on_how_a_projection_is_stored(family: Any, tmp_path: Path) -> None:
    """A matrix and a convolution over one pixel are the same numbers; heads go with the family, not with that."""
    made = narrow(family)
    tensors = {}
    for name, tensor in made.original.items():
        projects = name.startswith("model.diffusion_model.") and (".proj_in.weight" in name or ".proj_out.weight" in name)
        tensors[name] = (
            (tensor[..., None, None] if tensor.ndim == 2 else tensor[:, :, 0, 0]).contiguous() if projects else tensor.contiguous()
        )
    save_file(tensors, tmp_path / "other.safetensors")
    assert sum(tensor.shape != made.original[name].shape for name, tensor in tensors.items()) > 10
    save_file({name: tensor.contiguous() for name, tensor in made.original.items()}, tmp_path / "plain.safetensors")
    other, plain = (open_model(tmp_path / f"{name}.safetensors") for name in ("other", "plain"))
    assert other.config("unet") == plain.config("unet")
    pool_of(other, "unet").get("unet")


def test_a_projection_of_open_clip_is_read_either_way_round(tmp_path: Path) -> None:
    made = narrow("sdxl")
    name = "conditioner.embedders.1.model.text_projection"
    tensors = {each: tensor.contiguous() for each, tensor in made.original.items() if each != name}
    save_file(tensors | {f"{name}.weight": made.original[name].T.contiguous()}, tmp_path / "model.safetensors")
    model = open_model(tmp_path / "model.safetensors")
    same_tensors(model.tensors("text_encoder_2"), made.tensors("text_encoder_2"))
    assert model.config("text_encoder_2")["projection_dim"] == 40


@pytest.mark.parametrize(("family", "assumed"), [("sd1", "epsilon"), ("sd2", "v_prediction")])
def test_a_prediction_type_of_the_metadata_that_is_not_known_is_remarked_on(family: Any, assumed: str, tmp_path: Path) -> None:
    model = open_model(save_original(narrow(family), tmp_path / "model.safetensors", **{"modelspec.prediction_type": "x0\x1b[31m"}))
    assert model.scheduler_config["prediction_type"] == assumed
    told = model.remarks["assumed prediction_type"]
    assert told.startswith(assumed)
    assert told.endswith(r"; modelspec.prediction_type 'x0\x1b[31m' is not known")
    assert "\x1b" not in told
