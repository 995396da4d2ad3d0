"""Model folders of every family: which components are there, and what the index says."""

import json
import shutil
from pathlib import Path

import pytest

from sdrt.errors import ConfigError, MissingFileError, ModelError
from sdrt.models import ComponentFolder, ModelFolder, open_component, open_model
from tests.factories import CONTROLNETS, VAES, random_controlnet, random_vae


def test_parts_are_those_that_are_there(pristine: dict[str, Path]) -> None:
    assert open_model(pristine["sd1"]).components == ("text_encoder", "unet", "vae_decoder", "vae_encoder", "safety_checker")
    assert open_model(pristine["sdxl"]).components == ("text_encoder", "text_encoder_2", "unet", "vae_decoder", "vae_encoder")
    assert open_model(pristine["sdxl-refiner"]).components == ("text_encoder_2", "unet", "vae_decoder", "vae_encoder")


def test_every_part_opens_under_its_canonical_names(pristine: dict[str, Path]) -> None:
    probes = {
        "text_encoder": "final_layer_norm.weight",
        "text_encoder_2": "final_layer_norm.weight",
        "unet": "conv_in.weight",
        "vae_decoder": "decoder.mid_block.attentions.0.to_q.weight",
        "vae_encoder": "encoder.conv_in.weight",
        "safety_checker": "vision_model.embeddings.class_embedding",
    }
    for form in pristine:
        model = open_model(pristine[form])
        for component in model.components:
            assert probes[component] in model.tensors(component), (form, component)
            assert model.where(component).is_file()


def test_tokenizers_stand_beside_their_text_encoders(pristine: dict[str, Path]) -> None:
    sd1, sdxl, refiner = (open_model(pristine[form]) for form in ("sd1", "sdxl", "sdxl-refiner"))
    assert (sd1.tokenizer_path, sd1.tokenizer_2_path) == (sd1.path / "tokenizer", None)
    assert (sdxl.tokenizer_path, sdxl.tokenizer_2_path) == (sdxl.path / "tokenizer", sdxl.path / "tokenizer_2")
    assert (refiner.tokenizer_path, refiner.tokenizer_2_path) == (None, refiner.path / "tokenizer_2")
    assert sd1.pad_tokens == {}


def test_the_index_is_read_and_diffusers_defaults_fill_it(folder: Path, pristine: dict[str, Path]) -> None:
    sd1, sdxl, refiner = (open_model(pristine[form]).flags.force_zeros_for_empty_prompt for form in ("sd1", "sdxl", "sdxl-refiner"))
    assert (sd1, sdxl, refiner) == (False, True, False)
    (folder / "model_index.json").write_text(json.dumps({"force_zeros_for_empty_prompt": True}))
    assert open_model(folder).flags.force_zeros_for_empty_prompt
    (folder / "model_index.json").unlink()
    assert not open_model(folder).flags.force_zeros_for_empty_prompt
    (folder / "model_index.json").write_text(json.dumps({"force_zeros_for_empty_prompt": "no"}))
    with pytest.raises(ModelError, match=r"model_index\.json: force_zeros_for_empty_prompt must be true or false, got 'no'"):
        _ = open_model(folder).flags


def test_the_feature_extractor_is_read_where_it_is(folder: Path) -> None:
    assert open_model(folder).feature_extractor_config == {}
    (folder / "feature_extractor").mkdir()
    (folder / "feature_extractor" / "preprocessor_config.json").write_text('{"crop_size": 224}')
    assert open_model(folder).feature_extractor_config == {"crop_size": 224}


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("FluxPipeline", r"has no unet/ \(found: .*\); it is a FluxPipeline, and sdrt runs Stable Diffusion 1\.x, 2\.x and XL"),
        ("StableDiffusion3Pipeline", r"it is a StableDiffusion3Pipeline, and sdrt runs Stable Diffusion"),
        ("StableDiffusionPipeline", r"has no unet/ .*; a model folder in diffusers' layout has one"),
    ],
)
def test_a_folder_of_another_family_is_named(folder: Path, kind: str, message: str) -> None:
    (folder / "unet").rename(folder / "transformer")
    (folder / "model_index.json").write_text(json.dumps({"_class_name": kind}))
    with pytest.raises(MissingFileError, match=message):
        open_model(folder)


def test_a_text_encoder_wants_its_own_tokenizer(pristine: dict[str, Path], tmp_path: Path) -> None:
    copy = shutil.copytree(pristine["sdxl"], tmp_path / "sdxl")
    shutil.rmtree(copy / "tokenizer_2")
    with pytest.raises(MissingFileError, match=r"has no tokenizer_2/"):
        open_model(copy)


def test_a_part_that_is_not_there_is_one_error(pristine: dict[str, Path]) -> None:
    model = open_model(pristine["sdxl-refiner"])
    for ask in (model.config, model.tensors, model.where):
        with pytest.raises(MissingFileError, match=r"has no text_encoder; its components are text_encoder_2, unet"):
            ask("text_encoder")
        with pytest.raises(ConfigError, match=r"component must be one of .*, got 'transformer'"):
            ask("transformer")  # type: ignore[arg-type]


def test_a_component_stands_before_the_models_own_part(folder: Path, tmp_path: Path) -> None:
    random_vae({**VAES["sd1"], "scaling_factor": 0.5}, seed=9).save_pretrained(tmp_path / "vae")
    random_controlnet(CONTROLNETS["sd1"], seed=8).save_pretrained(tmp_path / "control")
    own = open_model(folder)
    vae, control = open_component(tmp_path / "vae", "vae_decoder"), open_component(tmp_path / "control", "controlnet")
    assert (vae.components, control.components) == (("vae_decoder", "vae_encoder"), ("controlnet",))
    both = own.with_override(vae).with_override(control)
    assert both.components == ("text_encoder", "unet", "controlnet", "vae_decoder", "vae_encoder", "safety_checker")
    assert both.config("vae_decoder")["scaling_factor"] == 0.5 != own.config("vae_decoder")["scaling_factor"]
    name = "decoder.conv_in.weight"
    assert (both.tensors("vae_decoder")[name] == vae.tensors("vae_decoder")[name]).all()
    assert (both.tensors("vae_decoder")[name] != own.tensors("vae_decoder")[name]).any()
    assert both.where("controlnet") == tmp_path / "control" / "config.json"
    assert both.where("unet") == own.where("unet")


def test_a_component_of_another_kind_is_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"unet/config\.json: must be a controlnet, got a unet"):
        open_component(folder / "unet", "controlnet")
    (tmp_path / "config.json").write_text('{"_class_name": "FluxControlNetModel"}')
    with pytest.raises(ModelError, match=r"config\.json: the class must be one of .*ControlNetModel.*, got FluxControlNetModel"):
        open_component(tmp_path, "controlnet")
    with pytest.raises(MissingFileError, match=r"no such folder; pass the folder of a component"):
        open_component(tmp_path / "none", "controlnet")
    with pytest.raises(MissingFileError, match=r"config\.json: not found"):
        ComponentFolder(folder, "model")


def test_an_option_that_does_not_fit_is_refused(folder: Path, checkpoint: Path) -> None:
    with pytest.raises(ConfigError, match=r"leave out prediction_type='epsilon'"):
        open_model(folder, prediction_type="epsilon")
    with pytest.raises(ConfigError, match=r"variant='fp16' chooses among a folder's"):
        open_model(checkpoint, variant="fp16")
    with pytest.raises(ConfigError, match=r"pickled must be 'refuse' or 'weights_only', got 'yes'"):
        open_model(folder, pickled="yes")  # type: ignore[arg-type]
    assert isinstance(open_model(folder), ModelFolder)
