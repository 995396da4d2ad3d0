"""Names of the tensors in a LoRA file.

Three conventions are read:

* kohya's, ``lora_unet_mid_block_attentions_0_proj_in.lora_down.weight``: paths of modules with underscores for dots, of diffusers' modules
  or (Stable Diffusion XL) of the original code's; text encoders are ``lora_te_``, or ``lora_te1_`` and ``lora_te2_``.
* diffusers' and PEFT's, ``unet.mid_block.attentions.0.proj_in.lora_A.weight``, text encoders as ``text_encoder.``, ``text_encoder_2.``.
* diffusers' before PEFT, ``….attn1.processor.to_q_lora.down.weight``, ``….to_q.lora.down.weight``,
  ``….q_proj.lora_linear_layer.up.weight``.

Source: ``networks/lora.py`` of kohya-ss/sd-scripts; ``loaders/lora_conversion_utils.py`` and ``utils/state_dict_utils.py`` of diffusers
0.42.1.
"""

import re
from typing import Literal, NamedTuple, TypeAlias

from sdrt.models.components import ComponentName

__all__ = ["Factor", "Key", "parse_key"]

Factor: TypeAlias = Literal["down", "up", "middle", "alpha"]


class Key(NamedTuple):
    """A name, taken apart.

    Parameters
    ----------
    component : ComponentName
    module : str
        The module's path, with underscores for dots where ``flat``.
    flat : bool
    factor : Factor
    """

    component: ComponentName
    module: str
    flat: bool
    factor: Factor


_KOHYA: dict[str, ComponentName] = {
    "lora_unet_": "unet",
    "lora_te_": "text_encoder",
    "lora_te1_": "text_encoder",
    "lora_te2_": "text_encoder_2",
}
_DOTTED: dict[str, ComponentName] = {
    "unet.": "unet",
    "text_encoder.": "text_encoder",
    "text_encoder_2.": "text_encoder_2",
    # files of the U-Net alone: PEFT's own, and diffusers' first ones
    "base_model.model.": "unet",
    "down_blocks.": "unet",
    "mid_block.": "unet",
    "up_blocks.": "unet",
}
_KOHYA_ENDS: dict[str, Factor] = {"lora_down.weight": "down", "lora_up.weight": "up", "lora_mid.weight": "middle", "alpha": "alpha"}
_DOTTED_END = re.compile(r"(?P<module>.+)\.(?:lora_(?P<letter>[AB])(?:\.default)?|lora(?:_linear_layer)?\.(?P<side>down|up))\.weight")
_PROCESSOR_END = re.compile(r"(?P<module>.+)\.processor\.(?P<name>to_(?:q|k|v|out))_lora\.(?P<side>down|up)\.weight")
_LETTERS: dict[str, Factor] = {"A": "down", "B": "up"}
_SIDES: dict[str, Factor] = {"down": "down", "up": "up"}


def parse_key(stored: str) -> Key | None:
    """Take a name apart; None where it follows none of the conventions.

    >>> parse_key("lora_te1_text_model_encoder_layers_0_mlp_fc1.alpha")
    Key(component='text_encoder', module='text_model_encoder_layers_0_mlp_fc1', flat=True, factor='alpha')
    >>> parse_key("unet.mid_block.attentions.0.proj_in.lora_B.weight")
    Key(component='unet', module='mid_block.attentions.0.proj_in', flat=False, factor='up')
    """
    for prefix, component in _KOHYA.items():
        if stored.startswith(prefix):
            module, _, end = stored.removeprefix(prefix).partition(".")
            return Key(component, module, True, _KOHYA_ENDS[end]) if end in _KOHYA_ENDS else None
    for prefix, component in _DOTTED.items():
        if stored.startswith(prefix):
            rest = stored if prefix.endswith(("blocks.", "block.")) else stored.removeprefix(prefix)
            return _dotted(component, rest)
    return None


def _dotted(component: ComponentName, rest: str) -> Key | None:
    if match := _PROCESSOR_END.fullmatch(rest):
        name = "to_out.0" if match["name"] == "to_out" else match["name"]
        return Key(component, f"{match['module']}.{name}", False, _SIDES[match["side"]])
    if match := _DOTTED_END.fullmatch(rest):
        return Key(component, match["module"], False, _LETTERS[match["letter"]] if match["letter"] else _SIDES[match["side"]])
    if rest.endswith(".alpha"):
        return Key(component, rest.removesuffix(".alpha"), False, "alpha")
    return None
