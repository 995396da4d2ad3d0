"""Check a tokenizer of one's own."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sdrt.errors import ConfigError
from sdrt.printable import shown
from sdrt.testing.explain import Hypothesis, explain
from sdrt.testing.fault import Fault
from sdrt.testing.foreign_arrays import as_numpy
from sdrt.testing.port_warnings import ignoring_warnings
from sdrt.testing.tokenizers.rows import RowForm, form_faults, form_of
from sdrt.testing.tokenizers.texts import TEXTS
from sdrt.testing.tokenizers.variants import VARIANTS, Variant
from sdrt.tokenizer import ClipTokenizer
from sdrt.tokenizer.clip_vocabulary import EOS_TOKEN
from sdrt.tokenizer.special_tokens import MODEL_MAX_LENGTH

__all__ = ["check_tokenizer"]


@dataclass(frozen=True, eq=False)
class _Encoded:
    """A prompt with the ids that a port gives it, and those that it should have."""

    text: str
    row: list[int]
    wanted: list[int]


@ignoring_warnings
def check_tokenizer(
    encode: Callable[[str], Any],
    *,
    pad_token: str = EOS_TOKEN,
    model_max_length: int = MODEL_MAX_LENGTH,
    texts: Sequence[str] = TEXTS,
) -> list[Fault]:
    """Compare a tokenizer with CLIP's, whose ids the text encoders of Stable Diffusion take.

    Parameters
    ----------
    encode : function
        From a prompt to its ids: a list, an array, a tensor, or what transformers and tokenizers return. Rows of ids may be padded and cut
        to ``model_max_length``, or neither.
    pad_token : str
        ``"<|endoftext|>"`` as in Stable Diffusion 1.x, or ``"!"`` as in 2.x and the second text encoder of SDXL.
    model_max_length : int
        The length of a padded row.
    texts : sequence of str
        The prompts to compare over.

    Returns
    -------
    list of Fault
        Empty if all is well.

    Raises
    ------
    ConfigError : no function, or a padding token that CLIP lacks

    >>> import sdrt
    >>> check_tokenizer(sdrt.ClipTokenizer.clip().encode)
    []
    """
    if not callable(encode):
        raise ConfigError(f"encode must be a function from a prompt to ids, got {shown(encode)}; pass the function itself")
    original = ClipTokenizer.clip(pad_token, model_max_length)
    result = _rows(encode, ("", "cat", *texts))
    if isinstance(result, Fault):
        return [result]
    form = form_of(result, original)
    return [*form_faults(form, lambda text: _rows(encode, (text,)), original), *_content_faults(result, form, original)]


def _rows(encode: Callable[[str], Any], texts: Sequence[str]) -> dict[str, list[int]] | Fault:
    """Return the ids of each text, or the fault that stopped it."""
    rows = {}
    for text in texts:
        try:
            ids = _ids(encode(text))
        except Exception as error:  # noqa: BLE001  # whatever the port raises is what is reported
            return Fault("raises", f"the prompt {text!r}: {type(error).__name__}: {error}")
        if ids is None:
            return Fault("not_of_ids", f"the prompt {text!r}: the result must be a list of whole numbers, got {shown(encode(text))}")
        rows[text] = ids
    return rows


def _ids(result: Any) -> list[int] | None:
    """Return the ids in what a tokenizer returned; None if there are none."""
    if isinstance(result, Mapping):
        result = result.get("input_ids")
    result = getattr(result, "ids", getattr(result, "input_ids", result))
    array = as_numpy(result)
    if array.ndim == 2 and array.shape[0] == 1:
        array = array[0]
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
        return None
    return [int(i) for i in array]


def _content_faults(rows: Mapping[str, list[int]], form: RowForm, original: ClipTokenizer) -> list[Fault]:
    """Compare the ids between the start and the end of each row."""
    encoded = [_Encoded(text, row, form.row(original.encode(text)[1:-1])) for text, row in rows.items()]
    transformers = original.as_transformers()

    def is_right(each: _Encoded) -> bool:
        return each.row == each.wanted or each.row == form.row(transformers.encode(each.text)[1:-1])

    def hypothesis(variant: Variant) -> Hypothesis[_Encoded]:
        return Hypothesis(variant.kind, variant.text, lambda each: each.row == form.row(variant.ids(each.text)))

    hypotheses = [hypothesis(variant) for variant in VARIANTS]
    differing = [each for each in encoded if not is_right(each)]
    return explain(differing, [each for each in encoded if is_right(each)], hypotheses, _describe)


def _describe(each: _Encoded) -> str:
    pairs = zip(each.wanted, each.row, strict=False)
    at = next((i for i, (wanted, got) in enumerate(pairs) if wanted != got), min(len(each.wanted), len(each.row)))
    wanted, got = (ids[max(at - 1, 0) : at + 6] for ids in (each.wanted, each.row))
    return f"the prompt {each.text!r}: from id {max(at - 1, 0)} on it must be {wanted}, got {got}"
