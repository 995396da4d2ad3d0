"""The self-attentions of a model, and the patterns that choose some, against diffusers' own modules and search."""

import time
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import Attention
from diffusers.pipelines.pag.pag_utils import PAGMixin

from sdrt.errors import ConfigError
from sdrt.limits import DEFAULT_LIMITS
from sdrt.models.components import COMPONENTS
from sdrt.models.components.self_attentions import self_attentions
from sdrt.pipeline.perturbed_layers import perturbed_layers
from tests.factories import UNETS

LEVELS: dict[str, Any] = {
    "block_out_channels": (8, 8, 8),
    "norm_num_groups": 4,
    "cross_attention_dim": 8,
    "attention_head_dim": 2,
    "down_block_types": ("CrossAttnDownBlock2D",) * 3,
    "up_block_types": ("CrossAttnUpBlock2D",) * 3,
}
FORMS: dict[str, dict[str, Any]] = {
    **{name: dict(config) for name, config in UNETS.items()},
    "condition only": LEVELS | {"only_cross_attention": (True, False, True)},
    "condition only everywhere": LEVELS | {"only_cross_attention": True},
    "no middle": LEVELS | {"mid_block_type": None, "layers_per_block": (1, 2, 1), "transformer_layers_per_block": (1, 2, 3)},
}


def opened(config: dict[str, Any]) -> tuple[dict[str, Any], UNet2DConditionModel]:
    with torch.device("meta"):
        unet = UNet2DConditionModel(**config)
    return COMPONENTS["unet"].keys(dict(config), "unet", DEFAULT_LIMITS), unet


@pytest.mark.parametrize("name", FORMS)
def test_the_self_attentions_are_those_of_diffusers(name: str) -> None:
    config, unet = opened(FORMS[name])
    theirs = {path for path, module in unet.named_modules() if isinstance(module, Attention) and not module.is_cross_attention}
    ours = self_attentions(config)
    assert set(ours) == theirs
    assert len(ours) == len(theirs)


@pytest.mark.parametrize(
    "patterns",
    [
        ["mid"],
        ["mid_block"],
        ["down"],
        ["down_blocks.1"],
        ["up_blocks.(0|1).attentions.1"],
        ["down_blocks.1.attentions.0", "mid"],
        ["blocks.1"],
        ["attn1$"],
    ],
)
@pytest.mark.parametrize("form", ["sd1", "sdxl"])
def test_patterns_choose_what_diffusers_chooses(form: Any, patterns: list[str]) -> None:
    config, unet = opened(dict(UNETS[form]))
    processor = object()
    peer: Any = SimpleNamespace(_pag_attn_processors=(processor, processor), unet=unet)
    try:
        PAGMixin._set_pag_attn_processor(peer, patterns, do_classifier_free_guidance=True)
    except ValueError:
        with pytest.raises(ConfigError, match="pag_applied_layers must choose self-attentions of this model"):
            perturbed_layers(patterns, config)
        return
    theirs = {path for path, module in unet.named_modules() if getattr(module, "processor", None) is processor}
    assert theirs
    assert set(perturbed_layers(patterns, config)) == theirs


@pytest.mark.parametrize(
    ("older", "path"),
    [
        ("mid.block_0.attentions_0", "mid_block.attentions.0"),
        ("down.block_1", "down_blocks.1"),
        ("up.block_1.attentions_0", "up_blocks.1.attentions.0"),
    ],
)
def test_the_older_spelling_means_the_same(older: str, path: str) -> None:
    config, _ = opened(dict(UNETS["sd1"]))
    assert perturbed_layers([older], config) == perturbed_layers([path], config)


@pytest.mark.parametrize("pattern", ["nowhere", "down_blocks.7", "attn2", "mid_block.attentions.1"])
def test_a_pattern_that_chooses_nothing_is_refused_with_what_there_is(pattern: str) -> None:
    config, _ = opened(dict(UNETS["sdxl"]))
    message = r"^pag_applied_layers must choose .*, got .*, which chooses none; there are .*mid_block.attentions.0$"
    with pytest.raises(ConfigError, match=message):
        perturbed_layers(["mid", pattern], config)


@pytest.mark.parametrize("pattern", ["(a+)+$", "(", "[", "mid*", "(.|.)" * 20, "mid\n", "((?:)){2}"])
def test_what_is_no_plain_expression_is_refused_at_once(pattern: str) -> None:
    """A record may hold any pattern, and searching must take no time."""
    config, _ = opened(dict(UNETS["sd1"]))
    began = time.monotonic()
    with pytest.raises(ConfigError, match="pag_applied_layers must be paths, or regular expressions without repetitions"):
        perturbed_layers([pattern], config)
    assert time.monotonic() - began < 5
