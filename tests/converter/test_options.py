"""The options of a conversion are a gate: each has a kind, and what is not of it is refused in one line."""

import math
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from converter.compression.settings import LinearQuantization, MixedBits, Palettization, Pruning
from converter.conversion import convert
from converter.options import Attention, ConvertOptions
from sdrt.errors import ConfigError, SdrtError

# Values of the kinds that callers confuse with each other.
STRANGE: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2, 2**64, 0.5, math.nan, math.inf, "", "1", "true", "unet", "a\nb\x1b", "x\0y", b"unet"),
    *((), [], {}, ("unet",), ["unet"], "unet,vae_decoder", (1, 2), ((64, 64),), ((64,),), (("a", "b"),), [["a", 1]], {"a": 1}),
    *(object(), ConvertOptions, Attention, np.array([1.0]), np.float32(3), np.int64(2), Path("x")),
)
SETTINGS: tuple[tuple[Any, dict[str, Any]], ...] = (
    (Palettization, {"nbits": 6}),
    (LinearQuantization, {}),
    (Pruning, {"sparsity": 0.5}),
    (MixedBits, {"target_bytes": 1000}),
    (ConvertOptions, {"model": "nano", "out": Path()}),
)


@pytest.mark.parametrize(("record", "others"), SETTINGS, ids=lambda each: getattr(each, "__name__", ""))
@given(data=st.data())
def test_an_option_is_of_its_kind_or_refused_in_one_line(record: Any, others: dict[str, Any], data: st.DataObject) -> None:
    name = data.draw(st.sampled_from([field.name for field in fields(record)]))
    value = data.draw(st.sampled_from(STRANGE))
    refusal = ""
    try:
        made = getattr(record(**{**others, name: value}), name)
    except SdrtError as error:
        refusal = str(error)
    if refusal:
        assert refusal.isprintable()
        assert len(refusal) < 1000
    else:
        plain = {type(None), bool, int, float, str, tuple, Attention, type(Path()), Palettization, LinearQuantization, Pruning, MixedBits}
        assert type(made) in plain
        assert not isinstance(made, float) or math.isfinite(made)


def test_what_means_the_same_is_accepted() -> None:
    options = ConvertOptions(
        model=Path("folder/of/mine"),  # type: ignore[arg-type]
        out="out",  # type: ignore[arg-type]
        parts=["unet"],  # type: ignore[arg-type]
        attention="split_einsum_v2",  # type: ignore[arg-type]
        sizes=[[np.int64(64), 64]],  # type: ignore[arg-type]
        loras=[("a.safetensors", np.float32(0.5))],  # type: ignore[arg-type]
        min_psnr=40,
    )
    assert options == ConvertOptions(
        model=str(Path("folder/of/mine")),
        out=Path("out"),
        parts=("unet",),
        attention=Attention.SPLIT_EINSUM_V2,
        sizes=((64, 64),),
        loras=(("a.safetensors", 0.5),),
        min_psnr=40.0,
    )
    assert ConvertOptions(model="./nano", out=Path()).model == "./nano"


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "a part": ({"parts": ("mmdit",)}, r"parts must be a list whose entries are each 'vae_decoder' or .*, got \('mmdit',\)"),
    "a part twice": ({"parts": ("unet", "unet")}, r"parts must be different, got unet, unet"),
    "parts as text": ({"parts": "unet"}, r"parts must be a list .* got 'unet'"),
    "batch": ({"batch": 3}, r"batch must be a whole number from 1 to 2, got 3"),
    "a flag as text": ({"check": "false"}, r"check must be true or false, got 'false'"),
    "a precision": ({"precision": "bfloat16"}, r"precision must be 'float16' or 'float32', got 'bfloat16'"),
    "attention": ({"attention": "FLASH"}, r"attention must be ORIGINAL or SPLIT_EINSUM or SPLIT_EINSUM_V2, got 'FLASH'"),
    "bits": ({"compression": 6}, r"compression must be Palettization or .*, got 6"),
    "a target": ({"deployment_target": "macOS12"}, r"deployment_target must be 'macOS13' or .*, got 'macOS12'"),
    "no model": ({"model": ""}, r"model must be a path or a repository's name, got ''"),
    "a path with NUL": ({"out": "a\0b"}, r"out must be a path, got 'a\\x00b'"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_refusal_names_the_option_the_rule_and_the_value(case: str) -> None:
    options, text = WRONG[case]
    with pytest.raises(ConfigError, match=text):
        ConvertOptions(**{"model": "nano", "out": Path(), **options})


@pytest.mark.parametrize("options", [None, {}, "nano", ConvertOptions])
def test_a_conversion_takes_options(options: Any) -> None:
    with pytest.raises(ConfigError, match=r"options must be ConvertOptions, got"):
        convert(options)


def test_progress_is_a_function() -> None:
    with pytest.raises(ConfigError, match=r"progress must be a function, got 5"):
        convert(ConvertOptions(model="nano", out=Path()), progress=5)  # type: ignore[arg-type]
