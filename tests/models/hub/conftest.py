"""A repository with everything that real ones have beside what is needed, at the tests' own Hub."""

from pathlib import Path

import pytest
from safetensors.torch import load, save

from tests.factories import save_pipeline_folder
from tests.hub_repository import Files, folder_files


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole model with random weights. Not to be changed."""
    return save_pipeline_folder(tmp_path_factory.mktemp("tiny") / "model", "sd1", safety_checker=True)


@pytest.fixture(scope="session")
def tiny_variants(tiny: Path) -> Files:
    """Its U-Net and text encoder in two variants, each a file of its own."""
    return {
        f"{stem}.{variant}.safetensors": save(load((tiny / f"{stem}.safetensors").read_bytes()), {"format": "pt", "variant": variant})
        for stem in ("unet/diffusion_pytorch_model", "text_encoder/model")
        for variant in ("fp16", "non_ema")
    }


@pytest.fixture
def tiny_files(tiny: Path, tiny_variants: Files) -> Files:
    """The files of a repository: the model, its variants, and what other programs use."""
    files = {**folder_files(tiny), **tiny_variants}
    files["vae_1_0/diffusion_pytorch_model.safetensors"] = files["vae/diffusion_pytorch_model.safetensors"]
    unused = ("README.md", ".gitattributes", "v1-5-pruned.safetensors", "unet/diffusion_pytorch_model.bin", "unet/model.onnx")
    also = ("vae/diffusion_pytorch_model.fp16.bin", "text_encoder/flax_model.msgpack", "text_encoder/tf_model.h5", "pictures/a.png")
    return files | dict.fromkeys((*unused, *also), b"not needed")
