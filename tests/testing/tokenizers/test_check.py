"""Wrong tokenizers are told by their mistakes, and right ones are not accused."""

import numpy as np
import pytest
from hypothesis import given, settings
from transformers import CLIPTokenizer

import sdrt
from sdrt.errors import ConfigError
from sdrt.testing import check_tokenizer
from sdrt.testing.strategies import prompts
from sdrt.testing.tokenizers.variants import Variant
from tests.testing.tokenizers.wrong_tokenizers import WRONG_TOKENIZERS, JoinsDigits, Padded, RightTokenizer
from tests.tokenizer.peer import clip_files, write_folder

BANG = "!"
CLIP = sdrt.ClipTokenizer.clip()


@pytest.mark.parametrize("wrong", WRONG_TOKENIZERS, ids=lambda wrong: wrong.__name__)
def test_a_wrong_tokenizer_is_told_by_its_mistake(wrong: type[RightTokenizer]) -> None:
    assert [fault.kind for fault in check_tokenizer(wrong())] == [WRONG_TOKENIZERS[wrong]]


def test_the_tokenizers_that_they_are_made_of_are_right() -> None:
    assert check_tokenizer(RightTokenizer()) == []
    assert check_tokenizer(Padded()) == []


def test_no_form_of_sdrts_own_is_accused() -> None:
    open_clip = sdrt.ClipTokenizer.clip(BANG)
    assert check_tokenizer(CLIP.encode) == []
    assert check_tokenizer(lambda text: CLIP.batch([text]).input_ids) == []
    assert check_tokenizer(open_clip.as_transformers().encode, pad_token=BANG) == []
    assert check_tokenizer(lambda text: open_clip.batch([text]).input_ids, pad_token=BANG) == []


@pytest.fixture(scope="module")
def peer(tmp_path_factory: pytest.TempPathFactory) -> CLIPTokenizer:
    return CLIPTokenizer.from_pretrained(write_folder(tmp_path_factory.mktemp("clip"), clip_files()), local_files_only=True)


def test_transformers_is_not_accused(peer: CLIPTokenizer) -> None:
    assert check_tokenizer(peer) == []
    assert check_tokenizer(lambda text: peer(text, padding="max_length", max_length=77, truncation=True, return_tensors="pt")) == []
    assert check_tokenizer(peer.backend_tokenizer.encode) == []


def test_a_fault_shows_a_prompt_and_both_ids() -> None:
    fault = check_tokenizer(lambda text: CLIP.encode(text.replace("cat", "dog")))[0]
    assert fault.kind == "unexplained"
    assert "the prompt 'cat': from id 0 on it must be [49406, 2368, 49407], got [49406, 1929, 49407] (and in" in fault.message


def test_two_mistakes_are_two_faults() -> None:
    joins = JoinsDigits()
    assert {fault.kind for fault in check_tokenizer(lambda text: joins(text)[1:])} == {"start_token_missing", "numbers_not_split"}


@settings(max_examples=200)
@given(prompts())
def test_the_parts_of_which_variants_are_made_are_sdrts_tokenizer(text: str) -> None:
    assert Variant("raises", "").ids(text) == CLIP.encode(text)[1:-1]


def test_what_is_no_row_of_ids_is_said_once() -> None:
    assert [fault.kind for fault in check_tokenizer(lambda text: np.zeros((2, 3)))] == ["not_of_ids"]
    assert [fault.kind for fault in check_tokenizer(lambda text: text.index("nothing"))] == ["raises"]
    with pytest.raises(ConfigError, match="encode must be a function"):
        check_tokenizer("cat")  # type: ignore[arg-type]
