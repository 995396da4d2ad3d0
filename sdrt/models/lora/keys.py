"""Names of the tensors in a LoRA file.

These conventions are read:

* kohya's, ``lora_unet_mid_block_attentions_0_proj_in.lora_down.weight``: paths of modules with underscores for dots, of diffusers' modules
  or (Stable Diffusion XL) of the original code's; text encoders are ``lora_te_``, or ``lora_te1_`` and ``lora_te2_``. LyCORIS adds
  factors of its own (``.hada_w1_a``, ``.lokr_w2``, ``.diff_b``), and writes ``lycoris_`` before the modules of a U-Net alone.
* diffusers' and PEFT's, ``unet.mid_block.attentions.0.proj_in.lora_A.weight``, text encoders as ``text_encoder.``, ``text_encoder_2.``.
* diffusers' before PEFT, ``….attn1.processor.to_q_lora.down.weight``, ``….to_q.lora.down.weight``,
  ``….q_proj.lora_linear_layer.up.weight``.
* ComfyUI's, ``diffusion_model.input_blocks.1.1.proj_in.lora_up.weight``, with the original code's modules, and
  ``text_encoders.clip_l.transformer.text_model.…``.

Source: ``networks/lora.py`` of kohya-ss/sd-scripts; LyCORIS 4.1.3, ``modules/``; ``loaders/lora_conversion_utils.py`` and
``utils/state_dict_utils.py`` of diffusers 0.42.1; ``comfy/lora.py`` of ComfyUI.
"""

import re
from typing import NamedTuple

from sdrt.models.components import ComponentName

__all__ = ["Key", "parse_key"]


class Key(NamedTuple):
    """A name, taken apart.

    Parameters
    ----------
    component : ComponentName
    module : str
        The module's path, with underscores for dots where ``flat``.
    flat : bool
    factor : str
        What the tensor is in its layer: ``"down"``, ``"up"``, ``"middle"``, ``"alpha"``, ``"magnitude"`` (peft's), and LyCORIS' own names.
    """

    component: ComponentName
    module: str
    flat: bool
    factor: str


_FLAT: dict[str, ComponentName] = {
    "lora_unet_": "unet",
    "lora_te_": "text_encoder",
    "lora_te1_": "text_encoder",
    "lora_te2_": "text_encoder_2",
    "lycoris_": "unet",
}
_DOTTED: dict[str, ComponentName] = {
    "unet.": "unet",
    "text_encoder.": "text_encoder",
    "text_encoder_2.": "text_encoder_2",
    "model.diffusion_model.": "unet",
    "diffusion_model.": "unet",
    "text_encoders.clip_l.transformer.": "text_encoder",
    "text_encoders.clip_g.transformer.": "text_encoder_2",
    # files of one component: PEFT's own, and diffusers' first ones
    "base_model.model.text_model.": "text_encoder",
    "base_model.model.": "unet",
    "down_blocks.": "unet",
    "mid_block.": "unet",
    "up_blocks.": "unet",
}
# What follows a module's path and a dot. Names of LyCORIS stand for themselves.
_LYCORIS = (
    *(f"hada_{name}" for name in ("w1_a", "w1_b", "w2_a", "w2_b", "t1", "t2")),
    *(f"lokr_{name}" for name in ("w1", "w1_a", "w1_b", "w2", "w2_a", "w2_b", "t1", "t2")),
    *("dora_scale", "diff", "diff_b", "w_norm", "b_norm", "alpha"),
)
_ENDS: dict[str, str] = {
    **{name: name for name in _LYCORIS},
    **{f"lora_mid{adapter}.weight": "middle" for adapter in ("", ".default")},
    **{f"lora_magnitude_vector{end}": "magnitude" for end in ("", ".weight", ".default", ".default.weight")},
    **{
        f"{end}.weight": factor
        for factor, letter in (("down", "A"), ("up", "B"))
        for end in (
            f"lora_{letter}",
            f"lora_{letter}.default",
            f"lora_{factor}",
            f"lora.{factor}",
            f"lora_linear_layer.{factor}",
        )
    },
}
# Names that say nothing of a LoRA by themselves, read behind a prefix that does.
_FLAT_ENDS = {**_ENDS, "weight": "weight", "on_input": "on_input"}
_PROCESSOR_END = re.compile(r"(?P<module>.+)\.processor\.(?P<name>to_(?:q|k|v|out))_lora\.(?P<side>down|up)\.weight")
_LONGEST_END = max(end.count(".") for end in _ENDS) + 1


def parse_key(stored: str) -> Key | None:
    """Take a name apart; None where it follows none of the conventions.

    >>> parse_key("lora_te1_text_model_encoder_layers_0_mlp_fc1.alpha")
    Key(component='text_encoder', module='text_model_encoder_layers_0_mlp_fc1', flat=True, factor='alpha')
    >>> parse_key("unet.mid_block.attentions.0.proj_in.lora_B.weight")
    Key(component='unet', module='mid_block.attentions.0.proj_in', flat=False, factor='up')
    """
    for prefix, component in _FLAT.items():
        if stored.startswith(prefix):
            module, _, end = stored.removeprefix(prefix).partition(".")
            return Key(component, module, True, _FLAT_ENDS[end]) if end in _FLAT_ENDS else None
    for prefix, component in _DOTTED.items():
        if stored.startswith(prefix):
            rest = stored if prefix.endswith(("blocks.", "block.")) else stored.removeprefix(prefix)
            return _dotted(component, rest)
    return None


def _dotted(component: ComponentName, rest: str) -> Key | None:
    if match := _PROCESSOR_END.fullmatch(rest):
        name = "to_out.0" if match["name"] == "to_out" else match["name"]
        return Key(component, f"{match['module']}.{name}", False, match["side"])
    parts = rest.split(".")
    # the longest end first: what is left is the module
    for length in range(min(_LONGEST_END, len(parts) - 1), 0, -1):
        if factor := _ENDS.get(".".join(parts[-length:])):
            return Key(component, ".".join(parts[:-length]), False, factor)
    return None
