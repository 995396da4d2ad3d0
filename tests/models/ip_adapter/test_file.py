"""IP-Adapter files: their kinds by their tensors, and what is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sdrt.errors import ConfigError, MissingFileError, ModelError, SdrtError, WeightsError
from sdrt.models import open_component, open_model
from sdrt.models.ip_adapter import IPAdapterFile, check_encoder, with_ip_adapters
from tests.factories import NARROW_UNET, random_unet
from tests.image_prompts import ENCODER, KINDS, adapter_tensors, nested, save_adapter, save_encoder

UNET = random_unet(NARROW_UNET)


def opened(folder: Path, tensors: dict[str, np.ndarray], name: str = "adapter.safetensors", **options: Any) -> IPAdapterFile:
    return IPAdapterFile(save_adapter(folder / name, tensors), "adapter", **options)


def test_kinds_and_sizes_come_from_the_tensors(tmp_path: Path) -> None:
    configs = [opened(tmp_path, adapter_tensors(UNET, kind, tokens=5)).config("image_projection") for kind in KINDS]
    plain, plus, full = configs
    assert plain == {
        "_class_name": "ImageProjection",
        "image_embed_dim": 12,
        "cross_attention_dim": 8,
        "num_image_text_embeds": 5,
    }
    assert full == {"_class_name": "IPAdapterFullImageProjection", "image_embed_dim": 16, "cross_attention_dim": 8}
    assert plus["_class_name"] == "IPAdapterPlusImageProjection"
    sizes = ("embed_dims", "output_dims", "hidden_dims", "depth", "dim_head", "heads", "num_queries", "ffn_ratio")
    assert [plus[name] for name in sizes] == [16, 8, 10, 4, 64, 2, 5, 4]


@pytest.mark.parametrize("kind", KINDS)
def test_a_pickle_is_read_where_that_is_asked_for(tmp_path: Path, kind: Any) -> None:
    tensors = adapter_tensors(UNET, kind)
    torch.save(nested(tensors), tmp_path / "adapter.bin")
    with pytest.raises(MissingFileError, match="pickled='weights_only'"):
        IPAdapterFile(tmp_path / "adapter.bin", "adapter")
    pickled = IPAdapterFile(tmp_path / "adapter.bin", "adapter", pickled="weights_only")
    plain = opened(tmp_path, tensors)
    assert pickled.config("image_projection") == plain.config("image_projection")
    ours, peers = pickled.tensors("image_projection"), plain.tensors("image_projection")
    assert {*ours} == {*peers}
    assert all(np.array_equal(ours[name], peers[name]) for name in ours)


def test_names_of_diffusers_in_a_resampler_are_known(tmp_path: Path) -> None:
    tensors = adapter_tensors(UNET, "plus")
    renamed = {
        name.replace(".0.to_q", ".attn.to_q").replace(".0.to_kv", ".attn.to_kv").replace(".0.norm1", ".ln0"): tensor
        for name, tensor in tensors.items()
    }
    assert renamed.keys() != tensors.keys()
    ours, peers = (opened(tmp_path, each).tensors("image_projection") for each in (renamed, tensors))
    assert {*ours} == {*peers}


def test_what_is_of_neither_part_is_named(tmp_path: Path) -> None:
    adapter = opened(tmp_path, adapter_tensors(UNET) | {"extra.weight": np.ones(3, np.float32)})
    assert "'extra.weight'" in adapter.remarks["unused tensors of adapter.safetensors"]


def without(tensors: dict[str, np.ndarray], *starts: str) -> dict[str, np.ndarray]:
    return {name: tensor for name, tensor in tensors.items() if not name.startswith(starts)}


PLAIN, PLUS = adapter_tensors(UNET, "plain"), adapter_tensors(UNET, "plus")
ONE = np.ones((4, 4), np.float32)


@pytest.mark.parametrize(
    ("tensors", "words"),
    [
        (without(PLAIN, "image_proj.") | {"image_proj.proj.0.weight": ONE, "image_proj.norm.weight": ONE[0]}, "FaceID"),
        (without(PLAIN, "image_proj.") | {"image_proj.perceiver_resampler.proj_in.weight": ONE}, "FaceID Plus"),
        (PLAIN | {"ip_adapter.0.to_k_lora.down.weight": ONE}, "FaceID with a LoRA"),
        (PLAIN | {"ip_adapter.1.to_q.weight": ONE}, "keys and values alone"),
        (without(PLAIN, "image_proj."), "no tensor below image_proj."),
        (without(PLAIN, "ip_adapter."), "below ip_adapter."),
        (without(PLAIN, "image_proj.norm"), "image_proj.norm.weight must be a tensor of 1 axes, got none"),
        (PLAIN | {"image_proj.proj.weight": ONE[0]}, "image_proj.proj.weight must be a tensor of 2 axes"),
        (without(PLUS, "image_proj.layers."), "a resampler must have layers"),
        (PLUS | {"image_proj.layers.0.0.to_q.weight": ONE}, "heads of 64 numbers"),
        ({"conv_in.weight": ONE}, "must be an IP-Adapter"),
    ],
    ids=range(11),
)
def test_other_files_are_refused_in_one_line(tmp_path: Path, tensors: dict[str, np.ndarray], words: str) -> None:
    with pytest.raises(ModelError, match=words) as raised:
        opened(tmp_path, tensors)
    assert "\n" not in str(raised.value)
    assert "adapter.safetensors" in str(raised.value)


def test_a_projection_that_lacks_a_tensor_says_which(tmp_path: Path) -> None:
    from sdrt.backends import BackendOptions
    from sdrt.backends.numpy import NumpyBackend

    adapter = opened(tmp_path, without(PLUS, "image_proj.layers.2.0.to_out"))
    with pytest.raises(WeightsError, match=r"layers\.2\.attn\.to_out\.0\.weight"):
        NumpyBackend().open("image_projection", adapter, BackendOptions())


@pytest.mark.parametrize("damage", [b"", b"\x00" * 40, b"GGUF" + b"\x00" * 40])
def test_damaged_files_are_refused(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / "adapter.safetensors").write_bytes(damage)
    with pytest.raises(SdrtError):
        IPAdapterFile(tmp_path / "adapter.safetensors", "adapter")


def test_an_adapter_must_fit_the_unet(tmp_path: Path) -> None:
    model = open_model("nano")
    width = model.config("unet")["cross_attention_dim"]
    with pytest.raises(ConfigError, match=f"as wide as the texts of nano, {width} .* got 8"):
        with_ip_adapters(model, [opened(tmp_path, PLAIN)])
    same_width = adapter_tensors(random_unet({**NARROW_UNET, "cross_attention_dim": width}))
    with pytest.raises(ConfigError, match=r"\.1\.to_k_ip\.weight must have the shape \[64, 128\] of down_blocks.1.att.* got \[8, "):
        with_ip_adapters(model, [opened(tmp_path, same_width)])
    fewer = {name: tensor for name, tensor in same_width.items() if not name.startswith("ip_adapter.3.")}
    with pytest.raises(ConfigError, match=r"the \d+ cross-attentions of nano, got them for \d+"):
        with_ip_adapters(model, [opened(tmp_path, fewer)])


def test_the_encoder_must_fit_the_adapter(tmp_path: Path) -> None:
    encoder = open_component(save_encoder(tmp_path / "encoder", {**ENCODER, "projection_dim": 20}), "image_encoder")
    check_encoder(opened(tmp_path, PLUS), encoder)
    with pytest.raises(ConfigError, match=r"projection_dim must be 12 for adapter\.safetensors .* got 20"):
        check_encoder(opened(tmp_path, PLAIN), encoder)
