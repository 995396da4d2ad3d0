"""LoRAs in prompts, as AUTOMATIC1111 reads them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdrt.errors import ConfigError
from sdrt.prompt import LoraTag, lora_tags, without_lora_tags


@pytest.mark.parametrize(
    ("text", "tag"),
    [
        ("<lora:fur>", LoraTag("fur", 1.0, 1.0)),
        ("<lora:fur:0.8>", LoraTag("fur", 0.8, 0.8)),
        ("<lyco:fur:-.5>", LoraTag("fur", -0.5, -0.5)),
        # the text encoders come first
        ("<lora:fur:0.5:0.8>", LoraTag("fur", 0.8, 0.5)),
        ("<lora:fur:te=0.5:unet=0.8>", LoraTag("fur", 0.8, 0.5)),
        ("<lora:fur:0.5:unet=0.8>", LoraTag("fur", 0.8, 0.5)),
        ("<lora:fur:te=0>", LoraTag("fur", 0.0, 0.0)),
        ("<lora:my fur v1.5, (new): 2 >", LoraTag("my fur v1.5, (new)", 2.0, 2.0)),
        ("<lora:styles/fur:1>", LoraTag("styles/fur", 1.0, 1.0)),
    ],
)
def test_a_tag_is_read_and_taken_out(text: str, tag: LoraTag) -> None:
    assert lora_tags(f"a cat {text}, (red:1.2)") == (tag,)
    assert without_lora_tags(f"a cat{text}, (red:1.2)") == "a cat, (red:1.2)"


@pytest.mark.parametrize(
    "text", ["<lora>", "<lora:>", "<hypernet:fur:1>", "<LORA:fur:1>", "< lora:fur>", "lora:fur:1", "<lora:fur", "a < b > c"]
)
def test_other_text_stays(text: str) -> None:
    assert lora_tags(text) == ()
    assert without_lora_tags(text) == text


@pytest.mark.parametrize("text", ["<lora: :1>", "<lora:fur:1:1:1>", "<lora:fur:dyn=4>"])
def test_a_tag_that_is_not_understood_is_one_error(text: str) -> None:
    with pytest.raises(ConfigError, match=r"a LoRA in a prompt must be written <lora:name:strength> or .*, got '<lora:"):
        lora_tags(text)


@pytest.mark.parametrize("strength", ["x", "nan", "inf", "", "1,5", "te=x", "unet="])
def test_a_strength_that_is_no_number_is_one_error(strength: str) -> None:
    with pytest.raises(ConfigError, match=r"a LoRA's strength must be a finite number, got "):
        lora_tags(f"<lora:fur:{strength}>")


@given(st.lists(st.sampled_from(["<lora:", "<lyco:", ":", ">", "<", "fur", "0.5", "te=", " a "]), max_size=30).map("".join))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        tags = lora_tags(text)
    except ConfigError:
        return
    assert bool(tags) == (without_lora_tags(text) != text)
    # no new tag appears where one was taken out, unless two halves met
    assert len(without_lora_tags(text)) <= len(text)
