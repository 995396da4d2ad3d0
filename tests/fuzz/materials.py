"""Sound files of each kind that cases damage, made once: every process reads the same folder, and none writes into it."""

import contextlib
import io
import json
import logging
import shutil
import struct
import warnings
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

import sdrt

CORE_ML_ROLES = ("text_encoder", "unet", "vae_decoder")
LORA_MODULE = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q"


class Materials:
    """Sound files below one folder.

    Parameters
    ----------
    root : Path
        Filled by `make`; other processes pass a folder that is filled.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.nano = root / "nano"
        self.sd1 = root / "sd1"
        self.sdxl = root / "sdxl"
        self.checkpoint = root / "sd1.safetensors"
        self.vae_file = root / "vae.safetensors"
        self.controlnet = root / "controlnet"
        self.core_ml = root / "packages"
        self.compiled = root / "compiled.mlmodelc"
        self.lora = root / "lora.safetensors"
        self.embedding = root / "cat.safetensors"
        self.record = root / "record.png"
        self.recording = root / "run.sdrt"
        self.jpeg = root / "photograph.jpg"
        self.pickle = root / "weights.bin"
        self.sharded = root / "sharded"

    def make(self) -> "Materials":
        """Write all of them, in about ten seconds."""
        with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            logging.getLogger("coremltools").setLevel(logging.ERROR)
            shutil.copytree(sdrt.models.path("nano"), self.nano)
            self._pictures()
            self._weights()
            self._models()
            self._packages()
        return self

    @cached_property
    def package(self) -> Path:
        """A small package of the folder."""
        return next(self.core_ml.glob("*text_encoder*"))

    @cached_property
    def header(self) -> dict[str, Any]:
        """What stands at the head of the checkpoint."""
        return read_header(self.checkpoint)

    def _pictures(self) -> None:
        from PIL import Image

        with sdrt.load("nano", threads=1) as pipe:
            pipe.generate("a red circle", seed=93, num_inference_steps=1).save(self.root / "pictures")
            with sdrt.compare.record(self.recording, pipe):
                pipe.generate("a red circle", seed=93, num_inference_steps=1)
        next((self.root / "pictures").glob("*.png")).rename(self.record)
        Image.fromarray(np.arange(48 * 40 * 3, dtype=np.uint8).reshape(48, 40, 3)).save(self.jpeg)

    def _weights(self) -> None:
        import torch
        from safetensors.numpy import load_file, save_file

        generator = np.random.default_rng(5)
        width = json.loads((self.nano / "text_encoder" / "config.json").read_text())["hidden_size"]
        save_file({"emb_params": generator.standard_normal((2, width), np.float32)}, self.embedding)
        torch.save({"conv.weight": torch.randn(4, 3), "step": 3}, self.pickle)
        shutil.copytree(self.nano, self.sharded)
        whole = self.sharded / "unet" / "diffusion_pytorch_model.safetensors"
        tensors = load_file(whole)
        whole.unlink()
        half = len(tensors) // 2
        names = list(tensors)
        files = {f"diffusion_pytorch_model-0000{k + 1}-of-00002.safetensors": part for k, part in enumerate((names[:half], names[half:]))}
        for file, part in files.items():
            save_file({name: tensors[name] for name in part}, whole.with_name(file))
        index = {"metadata": {"total_size": 1}, "weight_map": {name: file for file, part in files.items() for name in part}}
        whole.with_name("diffusion_pytorch_model.safetensors.index.json").write_text(json.dumps(index))

    def _models(self) -> None:
        from safetensors.numpy import save_file
        from safetensors.torch import save_file as save_torch_file

        from tests.factories import save_controlnet_folder, save_pipeline_folder
        from tests.models.families import narrow, save_original

        save_pipeline_folder(self.sd1, "sd1", safety_checker=True)
        save_pipeline_folder(self.sdxl, "sdxl")
        checkpoint = narrow("sd1")
        save_original(checkpoint, self.checkpoint)
        prefix = "first_stage_model."
        vae = {name.removeprefix(prefix): value.contiguous() for name, value in checkpoint.original.items() if name.startswith(prefix)}
        save_torch_file(vae, self.vae_file)
        save_controlnet_folder(self.controlnet)
        width = 32
        factors = {"lora_up.weight": (width, 4), "lora_down.weight": (4, width)}
        arrays = {f"{LORA_MODULE}.{name}": np.full(shape, 0.01, np.float32) for name, shape in factors.items()}
        save_file({**arrays, f"{LORA_MODULE}.alpha": np.array(4.0, np.float32)}, self.lora)

    def _packages(self) -> None:
        from tests.backends.coreml.folders import save_package, save_sidecars, save_source
        from tests.backends.coreml.mil_text_writer import write_compiled

        source = save_source(self.root / "source", "sd1")
        for role in CORE_ML_ROLES:
            save_package(source, self.core_ml, role, "sd1", batch=2 if role == "unet" else 1)  # type: ignore[arg-type]
        save_sidecars(source, self.core_ml)
        write_compiled(self.package, self.compiled, bare=False)


def read_header(file: Path) -> dict[str, Any]:
    """Return the header of a safetensors file."""
    with file.open("rb") as stream:
        (length,) = struct.unpack("<Q", stream.read(8))
        header: dict[str, Any] = json.loads(stream.read(length))
    return header


def with_header(header: bytes, data: bytes) -> bytes:
    """Return a safetensors file of this header, true or not."""
    return struct.pack("<Q", len(header)) + header + data
