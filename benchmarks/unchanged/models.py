"""Make the random models of every form that both checkouts use, once, from the tests' own factories."""

import json
from pathlib import Path

import torch

from tests.factories import CONTROLNETS, UNETS, Form, random_controlnet, random_unet, save_pipeline_folder

__all__ = ["save_models"]

_FORMS: tuple[Form, ...] = ("sd1", "sd2", "inpaint", "lcm", "sdxl", "sdxl-refiner")

# U-Nets of two levels, for conversion: every operation takes time to convert, and forms do not differ in repeated ones.
_SHALLOW = {"block_out_channels": (32, 64), "layers_per_block": 1}


def save_models(root: Path) -> None:
    """Write a model folder for each form, two ControlNets, and shallow models to convert."""
    for form in _FORMS:
        save_pipeline_folder(root / form, form, safety_checker=form == "sd1")
    for form, seed in (("sd1", 0), ("sd1", 1), ("sdxl", 0)):
        _save_controlnet(root / f"controlnet-{form}-{seed}", form, seed)
    flow = root / "flow"
    save_pipeline_folder(flow, "sd1")
    config = {"_class_name": "FlowMatchEulerDiscreteScheduler", "num_train_timesteps": 1000, "shift": 3.0}
    (flow / "scheduler" / "scheduler_config.json").write_text(json.dumps(config))
    _save_shallow(root)


def _save_controlnet(folder: Path, form: Form, seed: int) -> None:
    """Write a ControlNet whose image matters: in one of random layers alone, their biases would outweigh it."""
    network = random_controlnet(CONTROLNETS[form], seed)
    with torch.no_grad():
        for name, tensor in network.controlnet_cond_embedding.named_parameters():
            tensor *= 2.5 if name.endswith("weight") else 0.1
        for convolution in (*network.controlnet_down_blocks, network.controlnet_mid_block):
            convolution.weight *= 4
    network.save_pretrained(folder)


def _save_shallow(root: Path) -> None:
    down, up = ("CrossAttnDownBlock2D", "DownBlock2D"), ("UpBlock2D", "CrossAttnUpBlock2D")
    folder = save_pipeline_folder(root / "shallow-sd1", "sd1", safety_checker=True)
    random_unet({**UNETS["sd1"], **_SHALLOW, "down_block_types": down, "up_block_types": up}, seed=1).save_pretrained(folder / "unet")
    config = {**CONTROLNETS["sd1"], **_SHALLOW, "down_block_types": down}
    random_controlnet(config, seed=6).save_pretrained(root / "shallow-controlnet")
    folder = save_pipeline_folder(root / "shallow-sdxl", "sdxl")
    random_unet({**UNETS["sdxl"], "layers_per_block": 1}, seed=1).save_pretrained(folder / "unet")
