"""The modules of a component by what LoRAs call them."""

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any

from sdrt.models.component_tensors import ComponentTensors
from sdrt.models.components import ComponentName
from sdrt.models.lora.keys import Key
from sdrt.models.original.unet import unet_name

__all__ = ["Modules"]

# Modules of the original code's residual blocks and samplers; those of its transformers are called as in diffusers.
_ORIGINAL = ("in_layers.0", "in_layers.2", "emb_layers.1", "out_layers.0", "out_layers.3", "skip_connection", "op", "conv")
_STEMS = ("time_embed.0", "time_embed.2", "label_emb.0.0", "label_emb.0.2", "input_blocks.0.0", "out.0", "out.2")


class Modules:
    """The modules of a component that have a weight.

    Parameters
    ----------
    component : ComponentName
    config : mapping
    weights : ComponentTensors
    """

    def __init__(self, component: ComponentName, config: Mapping[str, Any], weights: ComponentTensors) -> None:
        self._is_text_encoder = component != "unet"
        self._config = config
        self._own = _Names({name: name for name in (each.removesuffix(".weight") for each in weights if each.endswith(".weight"))})

    def find(self, key: Key) -> str | None:
        """Return the canonical path of the module that a key means; None if there is no such module."""
        module = key.module
        if self._is_text_encoder:
            module = module.removeprefix("text_model_" if key.flat else "text_model.")
        found = self._own.find(module, flat=key.flat)
        return self._original.find(module, flat=key.flat) if found is None and not self._is_text_encoder else found

    @cached_property
    def _original(self) -> "_Names":
        # thousands of names, which most files do without
        return _Names(dict(_original_names(self._own.dotted, self._config)))


class _Names:
    """Canonical paths of modules by another name, dotted and flat."""

    def __init__(self, dotted: Mapping[str, str]) -> None:
        self.dotted = dotted
        self._flat = {name.replace(".", "_"): canonical for name, canonical in dotted.items()}

    def find(self, name: str, *, flat: bool) -> str | None:
        return (self._flat if flat else self.dotted).get(name)


def _original_names(modules: Iterable[str], config: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    """Yield the same modules under the original code's names.

    The names are made the other way round: each that there may be is translated, and kept where that module exists.
    """
    layers = config["layers_per_block"]
    if not isinstance(layers, int):
        return
    existing = set(modules)
    inner = {module.split(".attentions.", 1)[1].partition(".")[2] for module in existing if ".attentions." in module}
    blocks = range(len(config["block_out_channels"]) * (layers + 1) + 1)
    places = [f"{way}.{block}.{at}" for way in ("input_blocks", "output_blocks") for block in blocks for at in range(3)]
    places += [f"middle_block.{at}" for at in range(3)]
    for original in (*_STEMS, *(f"{place}.{rest}" for place in places for rest in (*_ORIGINAL, *inner))):
        canonical = unet_name(f"{original}.weight", layers)
        if canonical is not None and (module := canonical.removesuffix(".weight")) in existing:
            yield original, module
