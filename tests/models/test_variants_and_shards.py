"""Weights in a variant and in shards, as diffusers and transformers write them."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import load_file, save_file

from sdrt.errors import MissingFileError, ModelError, WeightsError
from sdrt.models import open_component, open_model
from tests.factories import TEXT_ENCODERS, UNETS, random_text_encoder, random_unet

UNET = "diffusion_pytorch_model"


@pytest.fixture
def sharded(folder: Path) -> Path:
    """The U-Net in shards of at most 400 kB, by diffusers itself."""
    (folder / "unet" / f"{UNET}.safetensors").unlink()
    random_unet(UNETS["sd1"], seed=1).save_pretrained(folder / "unet", max_shard_size="400KB")
    assert len(list((folder / "unet").glob("*.safetensors"))) > 2
    return folder


def index_of(folder: Path) -> Path:
    return folder / "unet" / f"{UNET}.safetensors.index.json"


def edit_index(folder: Path, **changes: str) -> None:
    index = json.loads(index_of(folder).read_text())
    index["weight_map"] |= changes
    index_of(folder).write_text(json.dumps(index))


def test_shards_hold_what_one_file_holds(sharded: Path) -> None:
    found, want = open_model(sharded).tensors("unet"), random_unet(UNETS["sd1"], seed=1).state_dict()
    assert sorted(found) == sorted(want)
    for name, tensor in want.items():
        np.testing.assert_array_equal(found[name], tensor.numpy())


@pytest.mark.parametrize("variant", [None, "fp16"])
def test_shards_are_found_under_both_packages_names(folder: Path, variant: str | None) -> None:
    (folder / "unet" / f"{UNET}.safetensors").unlink()
    (folder / "text_encoder" / "model.safetensors").unlink()
    random_unet(UNETS["sd1"], seed=6).save_pretrained(folder / "unet", max_shard_size="400KB", variant=variant)
    random_text_encoder(TEXT_ENCODERS["sd1"], seed=7).save_pretrained(folder / "text_encoder", max_shard_size="40KB", variant=variant)
    assert len(list((folder / "text_encoder").glob("*.safetensors"))) > 1
    model = open_model(folder, variant=variant)
    found, want = model.tensors("unet"), random_unet(UNETS["sd1"], seed=6).state_dict()
    assert all((found[name] == tensor.numpy()).all() for name, tensor in want.items())
    assert len(model.tensors("text_encoder")) == len(random_text_encoder(TEXT_ENCODERS["sd1"]).state_dict())


def test_an_index_with_the_variant_before_its_suffix_is_found_too(folder: Path) -> None:
    file = folder / "unet" / f"{UNET}.safetensors"
    file.rename(folder / "unet" / f"{UNET}.fp16-00001-of-00001.safetensors")
    names = load_file(folder / "unet" / f"{UNET}.fp16-00001-of-00001.safetensors")
    weight_map = dict.fromkeys(names, f"{UNET}.fp16-00001-of-00001.safetensors")
    (folder / "unet" / f"{UNET}.fp16.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    assert sorted(open_model(folder, variant="fp16").tensors("unet")) == sorted(names)


def test_a_variant_is_read_where_there_is_one_and_plain_weights_elsewhere(folder: Path) -> None:
    random_unet(UNETS["sd1"], seed=6).half().save_pretrained(folder / "unet", variant="fp16")
    plain, half = open_model(folder), open_model(folder, variant="fp16")
    assert [str(model.tensors("unet")["conv_in.weight"].dtype) for model in (plain, half)] == ["float32", "float16"]
    assert half.tensors("vae_decoder").files == plain.tensors("vae_decoder").files


def test_a_variant_that_no_part_has_is_refused_and_the_others_are_named(folder: Path) -> None:
    with pytest.raises(MissingFileError, match=r"no component has weights of variant 'fp16' \(found: none but the plain ones\)"):
        open_model(folder, variant="fp16")
    file = folder / "unet" / f"{UNET}.safetensors"
    file.rename(folder / "unet" / f"{UNET}.non_ema.safetensors")
    with pytest.raises(MissingFileError, match=r"no component has weights of variant 'fp16' \(found: non_ema\)"):
        open_model(folder, variant="fp16")
    with pytest.raises(MissingFileError, match=r"has none of .*; there are weights of variant non_ema: pass variant='non_ema'"):
        open_model(folder).tensors("unet")
    assert "conv_in.weight" in open_model(folder, variant="non_ema").tensors("unet")
    assert "conv_in.weight" in open_component(folder / "unet", "unet", variant="non_ema").tensors("unet")


def test_a_shard_that_is_missing_is_named(sharded: Path) -> None:
    shard = sorted((sharded / "unet").glob("*.safetensors"))[1]
    shard.unlink()
    with pytest.raises(MissingFileError, match=rf"index\.json: names {shard.name}, not found beside it"):
        open_model(sharded).tensors("unet")


def test_a_shard_that_is_cut_short_is_named_and_nothing_stays_mapped(sharded: Path) -> None:
    shard = sorted((sharded / "unet").glob("*.safetensors"))[-1]
    shard.write_bytes(shard.read_bytes()[:-100])
    with pytest.raises(WeightsError, match=rf"{shard.name}: not a whole safetensors file") as caught:
        open_model(sharded).tensors("unet")
    del caught
    maps = Path("/proc/self/maps")
    if maps.is_file():
        assert str(sharded) not in maps.read_text()


def test_a_tensor_in_two_shards_is_refused(sharded: Path) -> None:
    first, second, *_ = sorted((sharded / "unet").glob("*.safetensors"))
    name = next(iter(load_file(first)))
    save_file(load_file(second) | {name: torch.zeros(2)}, second)
    with pytest.raises(WeightsError, match=rf"{second.name}: tensor '{name}' is there twice \(in .*{first.name} too\)"):
        open_model(sharded).tensors("unet")


def test_an_index_that_names_a_tensor_that_is_nowhere_is_refused(sharded: Path) -> None:
    shard = sorted((sharded / "unet").glob("*.safetensors"))[0].name
    edit_index(sharded, **{"conv_inn.weight": shard})
    with pytest.raises(WeightsError, match=rf"{shard}: tensor 'conv_inn\.weight' is missing, which the index says is in this file"):
        open_model(sharded).tensors("unet")


@pytest.mark.parametrize("outside", ["../vae/diffusion_pytorch_model.safetensors", "/etc/hostname"])
def test_an_index_never_leads_out_of_its_folder(sharded: Path, outside: str) -> None:
    edit_index(sharded, **{"conv_in.weight": outside})
    with pytest.raises(ModelError, match=r"index\.json: names the shard '.*', which is no file of this folder"):
        open_model(sharded).tensors("unet")


@pytest.mark.parametrize("content", ["{}", '{"weight_map": []}', '{"weight_map": {"a": 1}}', "[]", "{"])
def test_an_index_that_is_none_is_one_error(sharded: Path, content: str) -> None:
    index_of(sharded).write_text(content)
    with pytest.raises(ModelError, match=r"index\.json: ") as caught:
        open_model(sharded).tensors("unet")
    assert "\n" not in str(caught.value)


def test_shards_go_before_a_whole_file_beside_them_and_that_is_said(sharded: Path) -> None:
    """diffusers reads what its index names; other weights under the whole file's name change nothing."""
    save_file(random_unet(UNETS["sd1"], seed=9).state_dict(), sharded / "unet" / f"{UNET}.safetensors")
    model, want = open_model(sharded), random_unet(UNETS["sd1"], seed=1).state_dict()
    peer = UNet2DConditionModel.from_pretrained(sharded / "unet").state_dict()
    found = model.tensors("unet")
    for name, tensor in want.items():
        np.testing.assert_array_equal(found[name], tensor.numpy())
        assert (peer[name] == tensor).all()
    remark = f"the shards of unet's index are used, and not {UNET}.safetensors beside them"
    assert model.remarks == {"weights of unet": remark}


def test_of_two_whole_files_the_one_that_is_read_is_said(folder: Path) -> None:
    (folder / "unet" / "model.safetensors").write_bytes((folder / "unet" / f"{UNET}.safetensors").read_bytes())
    assert open_model(folder).remarks == {"weights of unet": f"model.safetensors is used, and not {UNET}.safetensors beside them"}
