"""diffusers' tensors under the names of the original code: what its converters, and ours, are given.

Written from the original code's own modules (CompVis/stable-diffusion, lllyasviel/ControlNet, mlfoundations/open_clip), which count blocks
where diffusers nests levels.
"""

import json
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

Tensors = dict[str, torch.Tensor]

_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
_STEM = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}


def _denoiser_name(name: str, layers: int, attends: Sequence[bool]) -> str:
    """``attends``: by level of the way up, whether it has transformers, behind which its upsampler stands."""
    module, _, kind = name.rpartition(".")
    if module in _STEM:
        return f"{_STEM[module]}.{kind}"
    room, *rest = name.split(".")
    if room == "mid_block":
        group, at, *inner = rest
        block = f"middle_block.{2 * int(at) if group == 'resnets' else 1}"
    else:
        level, group, at, *inner = rest
        first = int(level) * (layers + 1)
        if group == "downsamplers":
            return f"input_blocks.{1 + first + layers}.0.op.{inner[-1]}"
        if group == "upsamplers":
            return f"output_blocks.{first + layers}.{2 if attends[int(level)] else 1}.conv.{inner[-1]}"
        slot = 0 if group == "resnets" else 1
        block = f"input_blocks.{1 + first + int(at)}.{slot}" if room == "down_blocks" else f"output_blocks.{first + int(at)}.{slot}"
    return ".".join([block, _RESNET[inner[0]], *inner[1:]] if group == "resnets" else [block, *inner])


def original_unet(tensors: Mapping[str, torch.Tensor], config: Mapping[str, Any]) -> Tensors:
    attends = [kind.startswith("CrossAttn") for kind in config["up_block_types"]]
    return {
        f"model.diffusion_model.{_denoiser_name(name, config['layers_per_block'], attends)}": tensor for name, tensor in tensors.items()
    }


def original_controlnet(tensors: Mapping[str, torch.Tensor], config: Mapping[str, Any], prefix: str = "control_model.") -> Tensors:
    renamed = {}
    blocks = 2 * (len(config["conditioning_embedding_out_channels"]) - 1)
    for name, tensor in tensors.items():
        room, *rest = name.split(".")
        if room == "controlnet_cond_embedding":
            at = {"conv_in": 0, "conv_out": 2 * (blocks + 1)}.get(rest[0])
            new = f"input_hint_block.{2 * (int(rest[1]) + 1) if at is None else at}.{rest[-1]}"
        elif room == "controlnet_down_blocks":
            new = f"zero_convs.{rest[0]}.0.{rest[1]}"
        elif room == "controlnet_mid_block":
            new = f"middle_block_out.0.{rest[0]}"
        else:
            new = _denoiser_name(name, config["layers_per_block"], ())
        renamed[prefix + new] = tensor
    return renamed


def original_vae(tensors: Mapping[str, torch.Tensor], levels: int, prefix: str = "first_stage_model.") -> Tensors:
    attention = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}
    renamed = {}
    for name, tensor in tensors.items():
        half, *rest = name.split(".")
        new = name.replace("conv_norm_out", "norm_out").replace("conv_shortcut", "nin_shortcut")
        if rest[0] == "mid_block" and rest[1] == "resnets":
            new = ".".join([half, "mid", f"block_{int(rest[2]) + 1}", *new.split(".")[4:]])
        elif rest[0] == "mid_block":
            inner = name.removeprefix(f"{half}.mid_block.attentions.0.")
            module, _, kind = inner.rpartition(".")
            new = f"{half}.mid.attn_1.{attention[module]}.{kind}"
            if module != "group_norm" and kind == "weight":
                tensor = tensor[:, :, None, None]
        elif rest[0] in ("down_blocks", "up_blocks"):
            way = rest[0].removesuffix("_blocks")
            level = int(rest[1]) if way == "down" else levels - 1 - int(rest[1])
            inner = ".".join(new.split(".")[3:])
            inner = inner.replace("resnets.", "block.", 1) if rest[2] == "resnets" else f"{way}sample.conv.{rest[-1]}"
            new = f"{half}.{way}.{level}.{inner}"
        renamed[prefix + new] = tensor
    return renamed


def original_clip(tensors: Mapping[str, torch.Tensor], prefix: str) -> Tensors:
    """OpenAI's names are those of transformers 4, positions' numbers among them."""
    length = tensors["embeddings.position_embedding.weight"].shape[0]
    renamed = {f"{prefix}text_model.{name}": tensor for name, tensor in tensors.items()}
    return renamed | {f"{prefix}text_model.embeddings.position_ids": torch.arange(length)[None]}


def original_open_clip(tensors: Mapping[str, torch.Tensor], prefix: str, *, unused_layer: bool = False) -> Tensors:
    """open_clip's names: one projection for queries, keys and values, the text's projection the other way round, a temperature.

    ``unused_layer`` adds what Stable Diffusion 2.x's files have and its text encoder does not use: a last layer and a projection.
    """
    plain = {name.removeprefix("text_model."): tensor for name, tensor in tensors.items()}
    layer = {
        "layer_norm1": "ln_1",
        "layer_norm2": "ln_2",
        "mlp.fc1": "mlp.c_fc",
        "mlp.fc2": "mlp.c_proj",
        "self_attn.out_proj": "attn.out_proj",
    }
    stem = {
        "embeddings.token_embedding.weight": "token_embedding.weight",
        "embeddings.position_embedding.weight": "positional_embedding",
        "final_layer_norm.weight": "ln_final.weight",
        "final_layer_norm.bias": "ln_final.bias",
    }
    renamed: Tensors = {}
    for name, tensor in plain.items():
        if name == "text_projection.weight":
            renamed["text_projection"] = tensor.T.contiguous()
        elif name in stem:
            renamed[stem[name]] = tensor
        else:
            _, _, at, inner = name.split(".", 3)
            module, _, kind = inner.rpartition(".")
            if module == "self_attn.q_proj":
                components = [plain[name.replace("q_proj", each)] for each in ("q_proj", "k_proj", "v_proj")]
                renamed[f"transformer.resblocks.{at}.attn.in_proj_{kind}"] = torch.cat(components)
            elif module in layer:
                renamed[f"transformer.resblocks.{at}.{layer[module]}.{kind}"] = tensor
    if unused_layer:
        last = {name: tensor for name, tensor in renamed.items() if name.startswith("transformer.resblocks.0.")}
        renamed |= {name.replace("resblocks.0.", "resblocks.23."): torch.ones_like(tensor) for name, tensor in last.items()}
        width = plain["final_layer_norm.weight"].shape[0]
        renamed["text_projection"] = torch.ones(width, width, device=plain["final_layer_norm.weight"].device)
    renamed["logit_scale"] = torch.tensor(4.6)
    return {prefix + name: tensor for name, tensor in renamed.items()}


def write_hollow(tensors: Mapping[str, torch.Tensor], file: Path) -> None:
    """A safetensors file of these shapes in float16 that occupies no disk: all zeros, most of them a hole."""
    header, at = {}, 0
    for name, tensor in tensors.items():
        size = 2 * tensor.numel()
        header[name] = {"dtype": "F16", "shape": list(tensor.shape), "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with file.open("wb") as stream:
        stream.write(struct.pack("<Q", len(text)) + text)
        stream.truncate(8 + len(text) + at)


def original_t2i_adapter(tensors: Mapping[str, torch.Tensor], config: Mapping[str, Any]) -> Tensors:
    """A full adapter's body is flat there; a light one's is nested otherwise."""
    renamed = {}
    for name, tensor in tensors.items():
        room, *rest = name.removeprefix("adapter.").split(".")
        if room == "body" and config["adapter_type"] == "light_adapter":
            rest = ["body" if part == "resnets" else part for part in rest]
        elif room == "body":
            block = int(rest[0]) * config["num_res_blocks"]
            rest = [str(block), *rest[1:]] if rest[1] == "in_conv" else [str(block + int(rest[2])), *rest[3:]]
        renamed[".".join([room, *rest])] = tensor
    return renamed
