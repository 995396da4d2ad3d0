"""Whole model folders of Core ML packages with Apple's inputs and outputs, converted from random models in diffusers' layout."""

import shutil
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL, ControlNetModel, UNet2DConditionModel
from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
from torch import nn
from transformers import CLIPTextModel, CLIPTextModelWithProjection

from sdrt.models.coreml.names import Role, file_stem
from tests.backends.coreml.peer import convert, ct
from tests.factories import ADDED, CONTROLNETS, Form, random_controlnet, random_unet, save_pipeline_folder
from tests.factories import UNETS as WIDE_UNETS

NAME = "random/tiny"
LATENT = 8

# Two levels of one layer each, so that a conversion takes seconds.
_SHORT: Mapping[str, Any] = {"block_out_channels": (32, 64), "layers_per_block": 1}
_SD: Mapping[str, Any] = {
    **_SHORT,
    "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
}
_XL: Mapping[str, Any] = {
    **_SHORT,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
    "transformer_layers_per_block": (1, 2),
    "attention_head_dim": (2, 4),
}
UNETS: Mapping[Form, Mapping[str, Any]] = {form: {**config, **(_XL if form in ADDED else _SD)} for form, config in WIDE_UNETS.items()}
SD1_CONTROLNET: Mapping[str, Any] = {**CONTROLNETS["sd1"], **_SHORT, "down_block_types": _SD["down_block_types"]}


def save_source(folder: Path, form: Form) -> Path:
    """A model in diffusers' layout with a short U-Net."""
    made = save_pipeline_folder(folder, form, safety_checker=form == "sd1")
    shutil.rmtree(made / "unet")
    random_unet(UNETS[form], seed=1).save_pretrained(made / "unet")
    return made


class Unet(nn.Module):
    """Text states as (B,D,1,L); SDXL's and a ControlNet's inputs after them, by position."""

    def __init__(self, unet: nn.Module, names: Sequence[str]) -> None:
        super().__init__()
        self.unet, self.names = unet, tuple(names)

    def forward(self, sample: Any, timestep: Any, states: Any, *rest: Any) -> Any:
        given = dict(zip(self.names[3:], rest, strict=True))
        added = {name: given[name] for name in ("text_embeds", "time_ids") if name in given}
        residuals = [value for name, value in given.items() if name.startswith("additional_residual")]
        return self.unet(
            sample,
            timestep,
            states.squeeze(2).transpose(1, 2),
            timestep_cond=given.get("timestep_cond"),
            added_cond_kwargs=added or None,
            down_block_additional_residuals=residuals[:-1] or None,
            mid_block_additional_residual=residuals[-1] if residuals else None,
            return_dict=False,
        )[0]


class Control(nn.Module):
    def __init__(self, controlnet: nn.Module) -> None:
        super().__init__()
        self.controlnet = controlnet

    def forward(self, sample: Any, timestep: Any, states: Any, cond: Any) -> Any:
        down, middle = self.controlnet(sample, timestep, states.squeeze(2).transpose(1, 2), controlnet_cond=cond, return_dict=False)
        return (*down, middle)


class TextEncoder(nn.Module):
    def __init__(self, encoder: nn.Module, *, raw: bool) -> None:
        super().__init__()
        self.encoder, self.raw = encoder, raw

    def forward(self, input_ids: Any) -> Any:
        found = self.encoder(input_ids.long(), output_hidden_states=self.raw)
        pooled = found.text_embeds if "text_embeds" in found else found.pooler_output
        return (found.hidden_states[-2] if self.raw else found.last_hidden_state), pooled


class Decoder(nn.Module):
    def __init__(self, vae: Any) -> None:
        super().__init__()
        self.vae = vae

    def forward(self, z: Any) -> Any:
        return self.vae.decode(z, return_dict=False)[0]


class Encoder(nn.Module):
    def __init__(self, vae: Any) -> None:
        super().__init__()
        self.vae = vae

    def forward(self, x: Any) -> Any:
        return self.vae.quant_conv(self.vae.encoder(x))


class Checker(nn.Module):
    """Apple's outputs; its verdict is that of diffusers, scores not rounded."""

    def __init__(self, checker: Any) -> None:
        super().__init__()
        self.checker = checker

    def forward(self, clip_input: Any, images: Any, adjustment: Any) -> Any:
        checker = self.checker
        pooled = checker.visual_projection(checker.vision_model(clip_input)[1])

        def cosine(concepts: Any) -> Any:
            return nn.functional.normalize(pooled) @ nn.functional.normalize(concepts).T

        special = cosine(checker.special_care_embeds) - checker.special_care_embeds_weights + adjustment
        extra = (special > 0).any(dim=1).float()[:, None] * 0.01
        scores = cosine(checker.concept_embeds) - checker.concept_embeds_weights + extra
        flagged = (scores > 0).any(dim=1).float()[:, None, None, None]
        return images * (1 - flagged), flagged, scores


def save_module(
    out: Path,
    stem: str,
    module: nn.Module,
    inputs: Mapping[str, torch.Tensor],
    outputs: Sequence[str],
    precision: str,
    *,
    target: str = "iOS16",
    wide: bool = False,
) -> Path:
    """Convert a module under a name; all inputs but ids are float16, or float32 where they are ``wide``."""
    out.mkdir(parents=True, exist_ok=True)
    floats = {name: np.float16 for name, value in inputs.items() if value.dtype == torch.float32 and name != "input_ids" and not wide}
    made = convert(module, inputs, outputs, out, precision=precision, target=target, input_dtypes=floats)
    return made.rename(out / f"{stem}.mlpackage")


def _residual_shapes(batch: int, latent: int) -> list[tuple[int, ...]]:
    network = random_controlnet(SD1_CONTROLNET)
    side = latent * 8
    with torch.no_grad():
        down, middle = network(
            torch.zeros(batch, 4, latent, latent),
            torch.ones(batch),
            torch.zeros(batch, 77, SD1_CONTROLNET["cross_attention_dim"]),
            controlnet_cond=torch.zeros(batch, 3, side, side),
            return_dict=False,
        )
    return [tuple(value.shape) for value in (*down, middle)]


def unet_inputs(form: Form, *, batch: int = 2, latent: int = LATENT, controlled: bool = False) -> dict[str, torch.Tensor]:
    """Example inputs of a U-Net, in Apple's layout."""
    config = UNETS[form]
    inputs = {
        "sample": torch.randn(batch, config.get("in_channels", 4), latent, latent),
        "timestep": torch.full((batch,), 500.0),
        "encoder_hidden_states": torch.randn(batch, config["cross_attention_dim"], 1, 77),
    }
    if form in ADDED:
        width, count = ADDED[form]
        inputs |= {"time_ids": torch.full((batch, count), 64.0), "text_embeds": torch.randn(batch, width)}
    if (size := config.get("time_cond_proj_dim")) is not None:
        inputs["timestep_cond"] = torch.randn(batch, size)
    if controlled:
        shapes = _residual_shapes(batch, latent)
        inputs |= {f"additional_residual_{index}": torch.randn(shape) for index, shape in enumerate(shapes)}
    return inputs


def save_package(
    source: Path, out: Path, role: Role, form: Form, *, precision: str = "float32", name: str = NAME, batch: int = 2, latent: int = LATENT
) -> Path:
    """Convert one part of a model in diffusers' layout, under the name that converters give it."""
    stem = file_stem(role, name)
    match role:
        case "unet" | "control_unet" | "refiner":
            unet = UNet2DConditionModel.from_pretrained(source / "unet").eval()
            inputs = unet_inputs(form, batch=batch, latent=latent, controlled=role == "control_unet")
            return save_module(out, stem, Unet(unet, list(inputs)), inputs, ("noise_pred",), precision)
        case "text_encoder" | "text_encoder_2":
            kind: Any = CLIPTextModelWithProjection if role == "text_encoder_2" else CLIPTextModel
            raw = form in ADDED
            module = TextEncoder(kind.from_pretrained(source / role).eval(), raw=raw)
            ids = {"input_ids": torch.randint(0, 400, (1, 77)).float()}
            return save_module(out, stem, module, ids, ("hidden_embeds" if raw else "last_hidden_state", "pooled_outputs"), precision)
        case "vae_decoder":
            vae = AutoencoderKL.from_pretrained(source / "vae").eval()
            return save_module(out, stem, Decoder(vae), {"z": torch.randn(1, 4, latent, latent)}, ("image",), precision)
        case "vae_encoder":
            vae = AutoencoderKL.from_pretrained(source / "vae").eval()
            return save_module(out, stem, Encoder(vae), {"x": torch.randn(1, 3, latent * 8, latent * 8)}, ("latent",), precision)
        case "safety_checker":
            checker = StableDiffusionSafetyChecker.from_pretrained(source / "safety_checker", attn_implementation="eager").eval()
            size = checker.config.vision_config.image_size
            given = {"clip_input": torch.randn(1, 3, size, size), "images": torch.rand(1, 64, 64, 3), "adjustment": torch.zeros(1)}
            return save_module(out, stem, Checker(checker), given, ("filtered_images", "has_nsfw_concepts", "concept_scores"), precision)
        case _:
            raise ValueError(role)


def save_controlnet(source: Path, out: Path, name: str, *, precision: str = "float32") -> Path:
    """Convert a ControlNet's folder."""
    network = ControlNetModel.from_pretrained(source).eval()
    inputs = unet_inputs("sd1") | {"controlnet_cond": torch.rand(2, 3, LATENT * 8, LATENT * 8)}
    outputs = [f"additional_residual_{index}" for index in range(len(_residual_shapes(2, LATENT)))]
    return save_module(out, file_stem("controlnet", name), Control(network), inputs, outputs, precision)


def save_sidecars(source: Path, out: Path) -> None:
    """Vocabulary and scheduler, as converters write them beside the packages."""
    tokenizer = source / "tokenizer" if (source / "tokenizer").is_dir() else source / "tokenizer_2"
    for file in ("vocab.json", "merges.txt"):
        shutil.copy(tokenizer / file, out / file)
    shutil.copy(source / "scheduler" / "scheduler_config.json", out / "scheduler_config.json")


def save_chunks(package: Path, *, merge: bool = False) -> None:
    """Cut a package in two with coremltools, and remove the whole one."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ct.models.utils.bisect_model(str(package), str(package.parent), merge_chunks_to_pipeline=merge, check_output_correctness=False)
    shutil.rmtree(package)
