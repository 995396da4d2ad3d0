"""T2I-Adapters in one file: the names of the original code and of diffusers, and what is no adapter."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from sdrt.backends import BackendOptions
from sdrt.backends.pool import NetworkPool
from sdrt.backends.registry import get
from sdrt.errors import MissingFileError, ModelError
from sdrt.models import open_component, open_model
from sdrt.models.original.t2i_adapter import adapter_config
from tests.factories import T2I_ADAPTERS, save_t2i_adapter_folder
from tests.models.original_names import original_t2i_adapter

WEIGHTS = "diffusion_pytorch_model.safetensors"


def features(source: Path, **options: Any) -> list[np.ndarray]:
    """Through a pool, which refuses tensors that nothing uses."""
    model = open_component(source, "t2i_adapter", **options)
    pool = NetworkPool(model, {"t2i_adapter": get("numpy")}, {"t2i_adapter": BackendOptions(threads=1)})
    channels = model.config("t2i_adapter")["in_channels"]
    return list(pool.get("t2i_adapter")(image=np.random.default_rng(0).random((1, channels, 64, 32), np.float32)).values())


@pytest.fixture(params=T2I_ADAPTERS)
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return save_t2i_adapter_folder(tmp_path / "adapter", request.param)


@pytest.mark.parametrize("layout", ["original", "prefixed", "diffusers", "pickle"])
def test_a_file_draws_as_the_folder_that_it_came_from(folder: Path, layout: str) -> None:
    config = open_component(folder, "t2i_adapter").config("t2i_adapter")
    tensors = load_file(folder / WEIGHTS)
    file, options = folder.parent / "own.safetensors", {}
    if layout != "diffusers":
        tensors = original_t2i_adapter(tensors, config)
    if layout == "pickle":
        file, options = file.with_suffix(".pth"), {"pickled": "weights_only"}
        torch.save(tensors, file)
    else:
        save_file({f"net.{name}" if layout == "prefixed" else name: tensor for name, tensor in tensors.items()}, file)
    for found, wanted in zip(features(file, **options), features(folder), strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_the_published_shapes_give_the_published_configurations() -> None:
    """Those of t2iadapter_canny_sd15v2.pth, t2iadapter_color_sd14v1.pth, and the SDXL ones, by the original code's classes."""
    full = {"adapter.conv_in.weight": (320, 192, 3, 3)}
    light = {"adapter.body.0.in_conv.weight": (80, 192, 1, 1)}
    for k, width in enumerate((320, 640, 1280, 1280)):
        full |= {f"adapter.body.{k}.resnets.{j}.block1.weight": (width, width, 3, 3) for j in range(2)}
        light |= {f"adapter.body.{k}.resnets.{j}.block1.weight": (width // 4, width // 4, 3, 3) for j in range(4)}
        light[f"adapter.body.{k}.out_conv.weight"] = (width, width // 4, 1, 1)
    published = {"_class_name": "T2IAdapter", "in_channels": 3, "channels": [320, 640, 1280, 1280], "num_res_blocks": 2}
    published |= {"downscale_factor": 8, "adapter_type": "full_adapter"}
    assert adapter_config(Path("x"), full) == published
    xl = {**full, "adapter.conv_in.weight": (320, 768, 3, 3)}
    assert adapter_config(Path("x"), xl) == published | {"downscale_factor": 16, "adapter_type": "full_adapter_xl"}
    colour = published | {"channels": [320, 640, 1280], "num_res_blocks": 4, "adapter_type": "light_adapter"}
    assert adapter_config(Path("x"), light) == colour
    sketch = {**full, "adapter.conv_in.weight": (320, 64, 3, 3)}
    assert adapter_config(Path("x"), sketch) == published | {"in_channels": 1}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"conv_in.weight": (32, 100, 3, 3)}, "is no T2I-Adapter in one of the three forms"),
        ({"body.3.skep.weight": (64, 64, 1, 1)}, "body.3.skep.weight"),
        ({"body.2.down_opt.op.weight": (32, 32, 3, 3)}, "down_opt"),
        ({"body.4.block2.weight": (64, 64, 3, 3)}, r"must have shape \[64, 64, 1, 1\]"),
        ({"body.4.block2.bias": None}, "adapter.body.2.resnets.0.block2.bias"),
    ],
)
def test_another_form_of_adapter_is_refused(tmp_path: Path, change: dict[str, tuple[int, ...] | None], says: str) -> None:
    folder = save_t2i_adapter_folder(tmp_path / "adapter", "full")
    config = open_component(folder, "t2i_adapter").config("t2i_adapter")
    tensors = original_t2i_adapter(load_file(folder / WEIGHTS), config)
    for name, shape in change.items():
        tensors.pop(name, None)
        if shape is not None:
            tensors[name] = torch.ones(shape)
    save_file(tensors, tmp_path / "other.safetensors")
    with pytest.raises(ModelError, match=says) as refusal:
        features(tmp_path / "other.safetensors")
    assert "\n" not in str(refusal.value)


def test_what_is_no_adapter_is_refused(tmp_path: Path) -> None:
    save_file({"conv_in.weight": torch.ones(4, 4, 3, 3)}, tmp_path / "other.safetensors")
    with pytest.raises(ModelError, match="is no T2I-Adapter by its names"):
        open_component(tmp_path / "other.safetensors", "t2i_adapter")
    with pytest.raises(MissingFileError, match="no such file"):
        open_component(tmp_path / "none.safetensors", "t2i_adapter")
    with pytest.raises(ModelError, match="must be a t2i_adapter, got a controlnet"):
        open_component("nano-edges", "t2i_adapter")


def test_an_adapter_is_no_model_and_is_named(tmp_path: Path) -> None:
    folder = save_t2i_adapter_folder(tmp_path / "adapter", "full")
    for file in (folder / WEIGHTS,):
        with pytest.raises(ModelError, match="is a T2I-Adapter, not a whole model"):
            open_model(file)
