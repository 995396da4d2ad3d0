"""LoRAs that a prompt names, as AUTOMATIC1111's web UI writes them: ``<lora:name:0.8>``.

==============================  ===============================================================
``<lora:name>``                 at strength 1
``<lora:name:0.8>``             at this strength, in the U-Net and the text encoders
``<lora:name:0.5:0.8>``         0.5 in the text encoders and 0.8 in the U-Net
``<lora:name:te=0.5:unet=1>``   the same by name
``<lyco:name>``                 as ``<lora:name>``
==============================  ===============================================================

A tag may stand anywhere in the prompt, which is read as if it were not there. A name that occurs twice acts with the sum of its strengths.

Source: AUTOMATIC1111/stable-diffusion-webui 1.10.1, ``modules/extra_networks.py`` and ``extensions-builtin/Lora/extra_networks_lora.py``.
Departures: what is no number is an error there in the log alone, and the tag has no effect; ranks (``dyn=``) are not cut.
"""

import math
import re
from dataclasses import dataclass

from sdrt.errors import ConfigError
from sdrt.printable import shown
from sdrt.prompt.syntax import check_prompt

__all__ = ["LoraTag", "lora_tags", "without_lora_tags"]

_TAG = re.compile(r"<(?:lora|lyco):([^<>]{1,1000})>")
_NAMED = ("te", "unet")


@dataclass(frozen=True)
class LoraTag:
    """A LoRA that a prompt names.

    Parameters
    ----------
    name : str
    strength, te_strength : float
        In the U-Net, and in the text encoders.
    """

    name: str
    strength: float
    te_strength: float


def without_lora_tags(prompt: str) -> str:
    """Return a weighted prompt's text without its LoRAs.

    >>> without_lora_tags("a cat<lora:fur:0.8>, sitting")
    'a cat, sitting'
    """
    return _TAG.sub("", check_prompt(prompt))


def lora_tags(prompt: str) -> tuple[LoraTag, ...]:
    """Return the LoRAs that a weighted prompt names, each once, in their order.

    Raises
    ------
    ConfigError : a tag without a name, or with a strength that is no finite number

    >>> lora_tags("<lora:fur:0.5> a cat <lora:ink:te=0:unet=1><lora:fur>")
    (LoraTag(name='fur', strength=1.5, te_strength=1.5), LoraTag(name='ink', strength=1.0, te_strength=0.0))
    """
    tags: dict[str, LoraTag] = {}
    for match in _TAG.finditer(check_prompt(prompt)):
        tag = _read(match)
        if before := tags.get(tag.name):
            tag = LoraTag(tag.name, before.strength + tag.strength, before.te_strength + tag.te_strength)
        tags[tag.name] = tag
    return tuple(tags.values())


def _read(match: re.Match[str]) -> LoraTag:
    name, *rest = (part.strip() for part in match[1].split(":"))
    positional = [part for part in rest if "=" not in part]
    named = dict(part.split("=", 1) for part in rest if "=" in part)
    if not name or len(positional) > len(_NAMED) or not named.keys() <= set(_NAMED):
        raise ConfigError(
            f"a LoRA in a prompt must be written <lora:name:strength> or <lora:name:te=strength:unet=strength>, got {shown(match[0])}; "
            "correct it, or choose prompt_syntax='plain'"
        )
    te = _number(named.get("te", positional[0] if positional else "1"), match)
    unet = named.get("unet", positional[1] if len(positional) > 1 else None)
    return LoraTag(name, te if unet is None else _number(unet, match), te)


def _number(text: str, match: re.Match[str]) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ConfigError(f"a LoRA's strength must be a finite number, got {shown(text)} in {shown(match[0])}; write such as 0.8")
    return number
