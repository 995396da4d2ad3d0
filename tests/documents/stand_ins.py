"""What the documents' commands name and nobody can download here: the smallest random models that the same commands run on."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from diffusers import T2IAdapter
from PIL import Image
from safetensors.numpy import save_file

from tests.factories import (
    CONTROLNETS,
    TEXT_ENCODERS,
    UNETS,
    VAES,
    Form,
    random_controlnet,
    random_text_encoder,
    random_unet,
    random_vae,
    randomise,
    save_pipeline_folder,
)
from tests.hub_repository import folder_files
from tests.hub_server import HubServer
from tests.image_prompts import adapter_tensors, save_adapter, save_encoder
from tests.models.families import narrow, save_original
from tests.upscalers import rrdb_tensors, save_upscaler

# Two levels and one attention, at the lower one: every operation takes time to convert, and some commands ask for 512x512.
_SMALLEST: dict[str, Any] = {
    "block_out_channels": (32, 32),
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
    "layers_per_block": 1,
    "attention_head_dim": 1,
}
_UNET = {**_SMALLEST, "up_block_types": ("UpBlock2D", "UpBlock2D"), "mid_block_type": "UNetMidBlock2D"}
_VAE = {"block_out_channels": (4, 4, 4, 4), "layers_per_block": 1, "norm_num_groups": 2, "mid_block_add_attention": False}


def stable_diffusion(folder: Path) -> None:
    """Stable Diffusion 1.x."""
    save_pipeline_folder(folder, "sd1")
    text = {**TEXT_ENCODERS["sd1"], "num_hidden_layers": 1, "num_attention_heads": 1}
    random_text_encoder(text, seed=3).save_pretrained(folder / "text_encoder")
    random_unet({**UNETS["sd1"], **_UNET}, seed=1).save_pretrained(folder / "unet")
    random_vae({**VAES["sd1"], **_VAE}, seed=2).save_pretrained(folder / "vae")


def of_form(form: Form) -> Callable[[Path], None]:
    def save(folder: Path) -> None:
        save_pipeline_folder(folder, form)

    return save


def t2i_adapter(folder: Path) -> None:
    adapter = T2IAdapter(channels=[32, 32], downscale_factor=16, adapter_type="full_adapter_xl")
    randomise(adapter)
    adapter.save_pretrained(folder)


def ip_adapters(folder: Path) -> None:
    """The repository of the published ones."""
    (folder / "models").mkdir(parents=True)
    tensors = adapter_tensors(random_unet({**UNETS["sd1"], **_UNET}, seed=1))
    save_adapter(folder / "models" / "ip-adapter_sd15.safetensors", tensors)
    save_encoder(folder / "models" / "image_encoder")


def controlnet(folder: Path) -> None:
    random_controlnet({**CONTROLNETS["sd1"], **_SMALLEST}, seed=6).save_pretrained(folder)


def checkpoint(file: Path) -> None:
    save_original(narrow("sd1"), file)


def lora(file: Path) -> None:
    """Of the first attention of the U-Net."""
    name = "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn1_to_q"
    shapes = {f"{name}.lora_down.weight": (2, 32), f"{name}.lora_up.weight": (32, 2)}
    save_file({key: np.full(shape, 0.1, np.float32) for key, shape in shapes.items()}, file)


def styles(folder: Path) -> None:
    """A repository of LoRAs."""
    folder.mkdir(parents=True)
    lora(folder / "ink.safetensors")
    (folder / "README.md").write_text("# Styles\n", encoding="utf-8")


def picture(file: Path) -> None:
    Image.fromarray(np.random.default_rng(3).integers(0, 256, (64, 64, 3), np.uint8)).save(file)


def mask(file: Path) -> None:
    Image.fromarray(np.eye(64, dtype=np.uint8) * 255).save(file)


def prompts(file: Path) -> None:
    file.write_text("a red circle\n\na blue square  # a comment\n", encoding="utf-8")


def jobs(file: Path) -> None:
    rows = ['{"prompt": "a red circle", "seed": 93, "num_inference_steps": 2}', '{"prompt": "a blue square", "num_inference_steps": 2}']
    file.write_text("\n".join(rows), encoding="utf-8")


def embedding(file: Path) -> None:
    save_file({"emb_params": np.zeros((1, 32), np.float32)}, file)


def upscaler(file: Path) -> None:
    save_upscaler(file, rrdb_tensors(width=8, growth=4, blocks=1))


STAND_INS: Mapping[str, Callable[[Path], None]] = {
    "sd15": stable_diffusion,
    "folder/of/sd15": stable_diffusion,
    "folder/of/sdxl": of_form("sdxl"),
    "folder/of/its/refiner": of_form("sdxl-refiner"),
    "folder/of/an/inpainting/model": of_form("inpaint"),
    "folder/of/a/controlnet": controlnet,
    "folder/of/a/t2i/adapter": t2i_adapter,
    "canny": controlnet,
    "depth": controlnet,
    "checkpoint.safetensors": checkpoint,
    "style.safetensors": lora,
    "edges.png": picture,
    "depth.png": picture,
    "photo.png": picture,
    "mask.png": mask,
    "cat.png": picture,
    "dog.png": picture,
    "left.png": mask,
    "right.png": mask,
    "prompts.txt": prompts,
    "jobs.jsonl": jobs,
    "cat.safetensors": embedding,
    "x4.safetensors": upscaler,
}

# Repositories of the Hub, at the tests' own.
REPOSITORIES: Mapping[str, Callable[[Path], None]] = {
    "stable-diffusion-v1-5/stable-diffusion-v1-5": stable_diffusion,
    "stabilityai/sd-turbo": stable_diffusion,
    "someone/styles": styles,
    "h94/IP-Adapter": ip_adapters,
}


def make(folder: Path, text: str) -> None:
    """Make everything in a folder that a text names."""
    for name, write in STAND_INS.items():
        if name in text:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            write(folder / name)


def fill(hub: HubServer, folder: Path, text: str) -> None:
    """Give a Hub every repository that a text names and that it does not have; a folder is needed to make them in."""
    for name, write in REPOSITORIES.items():
        if name in text and f"models/{name}" not in hub.store.repositories:
            write(folder / name)
            files = folder_files(folder / name)
            halves = {path.replace(".safetensors", ".fp16.safetensors"): content for path, content in files.items() if "/" in path}
            hub.add(name, halves | files)
