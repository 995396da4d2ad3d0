"""Folders as Apple's converter leaves them, of random models with CLIP's vocabulary: packages, and nothing that says what they are of."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import torch
from diffusers.models.attention_processor import AttnProcessor
from torch import nn
from transformers import CLIPTextModel, CLIPTextModelWithProjection

from sdrt.models.coreml.names import Role, file_stem
from sdrt.tokenizer.clip_vocabulary import ClipVocabulary
from tests.backends.coreml.apples_denoisers import AttentionForm, ControlNet, Unet
from tests.backends.coreml.apples_parts import Decoder, Encoder, SafetyChecker, TextEncoder
from tests.backends.coreml.folders import save_module
from tests.factories import random_controlnet, random_safety_checker, random_text_encoder, random_unet, random_vae

__all__ = ["NAME", "Line", "Source", "inputs_of", "make_source", "module_of", "outputs_of", "save_apples", "write_vocabulary"]

Line: TypeAlias = Literal["sd1", "sd2", "sdxl"]
NAME = "maker/model"

# Two levels, one of them with transformers (XL's has one level), and 32 groups, which Apple's U-Net has whatever the configuration says.
_UNET: Mapping[str, Any] = {
    "block_out_channels": (32, 64),
    "layers_per_block": 1,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
    "attention_head_dim": (1, 2),
}
_ADDED: Mapping[str, Any] = {
    "block_out_channels": (32,),
    "down_block_types": ("CrossAttnDownBlock2D",),
    "up_block_types": ("CrossAttnUpBlock2D",),
    "use_linear_projection": True,
    "attention_head_dim": 1,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
}
_TEXT: Mapping[str, Any] = {"vocab_size": 49408, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
# As the published encoders of 1.x and XL have it: the pooled state is at the largest id.
_OLD_END: Mapping[str, Any] = {"bos_token_id": 0, "eos_token_id": 2}
_NEW_END: Mapping[str, Any] = {"bos_token_id": 49406, "eos_token_id": 49407}
_WIDTHS: Mapping[Line, tuple[int, ...]] = {"sd1": (32,), "sd2": (1024,), "sdxl": (32, 48)}
_POOLED = 24
_CLIP_INPUT = (1, 3, 28, 28)


@dataclass(frozen=True)
class Source:
    """A model's modules, weights rounded to float16 as Apple's converter loads them.

    Parameters
    ----------
    line : Line
    side : int
        Of the latents.
    parts : mapping of modules by component, and ``refiner``
    """

    line: Line
    side: int
    parts: Mapping[str, Any]


def make_source(line: Line) -> Source:
    """Make a model of random tensors: of 1.x, of 2.x for 768 pixels (known by its shapes alone), or of XL with a refiner."""
    widths, side = _WIDTHS[line], 96 if line == "sd2" else 8
    unet: dict[str, Any] = {**_UNET, "sample_size": side, "cross_attention_dim": sum(widths)}
    parts: dict[str, Any] = {}
    if line == "sdxl":
        added = {**unet, **_ADDED}
        parts["unet"] = random_unet({**added, "projection_class_embeddings_input_dim": _POOLED + 6 * 256}, 1)
        refined = {
            **added,
            "transformer_layers_per_block": (1, 2),
            "cross_attention_dim": widths[1],
            "projection_class_embeddings_input_dim": _POOLED + 5 * 256,
        }
        parts["refiner"] = random_unet(refined, 2)
        second = {**_TEXT, **_OLD_END, "hidden_size": widths[1], "hidden_act": "gelu", "projection_dim": _POOLED}
        parts["text_encoder_2"] = random_text_encoder(second, 3, CLIPTextModelWithProjection)
    else:
        parts["unet"] = random_unet(unet | ({"use_linear_projection": True} if line == "sd2" else {}), 1)
    first = {**_TEXT, **(_NEW_END if line == "sd2" else _OLD_END), "hidden_size": widths[0]}
    parts["text_encoder"] = random_text_encoder(first, 4, CLIPTextModel)
    vae = {"block_out_channels": (8, 8, 8, 8), "layers_per_block": 1, "norm_num_groups": 4}
    parts["vae"] = random_vae(vae | ({"scaling_factor": 0.13025} if line == "sdxl" else {}), 5)
    # as it was when Apple's converter was written
    parts["vae"].set_attn_processor(AttnProcessor())
    if line == "sd1":
        control = {key: value for key, value in unet.items() if key not in ("sample_size", "up_block_types")}
        parts["controlnet"] = random_controlnet({**control, "conditioning_embedding_out_channels": (4, 4, 8, 8)}, 6)
        parts["safety_checker"] = random_safety_checker(seed=7)
    if line == "sd1":
        _put_on_the_edge(parts["safety_checker"])
    for module in parts.values():
        for tensor in module.parameters():
            tensor.data = tensor.data.half().float()
    return Source(line, side, parts)


def _put_on_the_edge(checker: Any) -> None:
    """Set thresholds so that the example picture is flagged with special care, which adds 0.01 to each score, and not without."""
    embedded = checker.visual_projection(checker.vision_model(_draw(7, *_CLIP_INPUT))[1])
    scores = nn.functional.normalize(embedded) @ nn.functional.normalize(checker.concept_embeds).T
    margins = torch.linspace(0, 0.3, scores.shape[1])
    checker.concept_embeds_weights.data = scores[0] + margins + 0.005


def _draw(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def unet_inputs(source: Source, role: Role, *, rows: int = 2, flat: bool = False) -> dict[str, torch.Tensor]:
    """Return example inputs of a U-Net or ControlNet in the package's order; ``flat`` lays the rows of ``time_ids`` end to end."""
    config = source.parts["refiner" if role == "refiner" else "unet"].config
    found = {
        "sample": _draw(1, rows, 4, source.side, source.side),
        "timestep": torch.tensor([981.0, 21.0][:rows]),
        "encoder_hidden_states": _draw(2, rows, config.cross_attention_dim, 1, 77),
    }
    if source.line == "sdxl":
        numbers = torch.tensor([[64.0, 64, 0, 8, 96, 64][: 5 if role == "refiner" else 6]] * rows)
        found |= {"time_ids": numbers.flatten() if flat else numbers, "text_embeds": _draw(3, rows, _POOLED)}
    if role == "control_unet":
        shapes = [x.shape for x in _controlnet(source)(*unet_inputs(source, "controlnet", rows=rows).values())]
        found |= {f"additional_residual_{index}": _draw(10 + index, *shape) for index, shape in enumerate(shapes)}
    if role == "controlnet":
        found["controlnet_cond"] = _draw(4, rows, 3, 8 * source.side, 8 * source.side)
    return found


def _controlnet(source: Source, form: AttentionForm = "SPLIT_EINSUM") -> ControlNet:
    return ControlNet(source.parts["controlnet"], form)


def module_of(
    source: Source, role: Role, form: AttentionForm, inputs: Mapping[str, torch.Tensor] | None = None, *, half: bool = False
) -> nn.Module:
    """Return the network of a role in Apple's form; ``half`` as `Unet` has it."""
    parts, xl = source.parts, source.line == "sdxl"
    match role:
        case "unet" | "control_unet" | "refiner":
            return Unet(parts["refiner" if role == "refiner" else "unet"], form, tuple(inputs or unet_inputs(source, role)), half=half)
        case "controlnet":
            return ControlNet(parts["controlnet"], form, half=half)
        case "text_encoder" | "text_encoder_2":
            return TextEncoder(parts[role], xl=xl)
        case "vae_decoder":
            return Decoder(parts["vae"])
        case "vae_encoder":
            return Encoder(parts["vae"])
        case "safety_checker":
            return SafetyChecker(parts["safety_checker"])


def inputs_of(source: Source, role: Role, *, rows: int = 2, flat: bool = False) -> dict[str, torch.Tensor]:
    """Return example inputs of a role."""
    side = source.side
    match role:
        case "text_encoder" | "text_encoder_2":
            ids = torch.full((1, 77), 49407.0)
            ids[0, :5] = torch.tensor([49406.0, 320, 736, 7178, 49407])
            return {"input_ids": ids}
        case "vae_decoder":
            return {"z": _draw(5, 1, 4, side, side)}
        case "vae_encoder":
            return {"x": _draw(6, 1, 3, 8 * side, 8 * side)}
        case "safety_checker":
            return {"clip_input": _draw(7, *_CLIP_INPUT), "images": _draw(8, 1, 8 * side, 8 * side, 3).abs(), "adjustment": torch.zeros(1)}
        case _:
            return unet_inputs(source, role, rows=rows, flat=flat)


def outputs_of(source: Source, role: Role) -> tuple[str, ...]:
    """Return the names of a role's outputs."""
    match role:
        case "text_encoder" | "text_encoder_2":
            return ("hidden_embeds" if source.line == "sdxl" else "last_hidden_state", "pooled_outputs")
        case "vae_decoder":
            return ("image",)
        case "vae_encoder":
            return ("latent",)
        case "safety_checker":
            return ("filtered_images", "has_nsfw_concepts", "concept_scores")
        case "controlnet":
            return tuple(f"additional_residual_{index}" for index in range(5))
        case _:
            return ("noise_pred",)


def save_apples(
    source: Source,
    out: Path,
    role: Role,
    form: AttentionForm = "SPLIT_EINSUM",
    *,
    target: str = "iOS16",
    rows: int = 2,
    flat: bool = False,
) -> Path:
    """Convert one part in float16, XL's autoencoder in float32, under the name that Apple's converter gives it."""
    inputs = inputs_of(source, role, rows=rows, flat=flat)
    wide = source.line == "sdxl" and role in ("vae_decoder", "vae_encoder")
    module = module_of(source, role, form, inputs)
    precision = "float32" if wide else "float16"
    return save_module(out, file_stem(role, NAME), module, inputs, outputs_of(source, role), precision, target=target, wide=wide)


def write_vocabulary(folder: Path) -> None:
    """Write CLIP's ``vocab.json`` and ``merges.txt``, as Apple's converter downloads them."""
    clip = ClipVocabulary()
    ids = {token: number for number, token in clip.tokens.items()}
    (folder / "vocab.json").write_text(json.dumps(ids, ensure_ascii=False), encoding="utf-8")
    merges = "".join(f"{left} {right}\n" for left, right in clip.merge_tokens)
    (folder / "merges.txt").write_text(f"#version: 0.2\n{merges}", encoding="utf-8")
