"""The form of a tokenizer's rows: what stands before and behind the words' ids, how long a row is, and what of that is wrong."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sdrt.testing.fault import Fault
from sdrt.testing.tokenizers.texts import LONG_TEXTS
from sdrt.tokenizer import ClipTokenizer

__all__ = ["RowForm", "form_faults", "form_of"]


@dataclass(frozen=True)
class RowForm:
    """How a port makes a row of ids.

    Parameters
    ----------
    start, end : int or None
        The ids before and behind those of the words.
    pad : int or None
        The id that fills a row; None where rows are as long as their prompts.
    length : int or None
        The length of a filled row.
    """

    start: int | None
    end: int | None
    pad: int | None
    length: int | None

    def row(self, ids: list[int]) -> list[int]:
        """Return the row of some words' ids."""
        front, back = ([] if i is None else [i] for i in (self.start, self.end))
        if self.length is None or self.pad is None:
            return [*front, *ids, *back]
        room = max(self.length - len(front) - len(back), 0)
        row = [*front, *ids[:room], *back]
        return row + [self.pad] * (self.length - len(row))


def form_of(rows: Mapping[str, list[int]], original: ClipTokenizer) -> RowForm:
    """Read the form off the rows of several prompts, among them an empty one and ``cat``."""
    bos, eos = original.bos_token_id, original.eos_token_id
    lengths = {len(row) for row in rows.values()}
    start = bos if all(row[:1] == [bos] for row in rows.values()) else None
    if len(lengths) > 1 or not rows[""]:
        return RowForm(start, eos if all(row[-1:] == [eos] for row in rows.values()) else None, None, None)
    pad, cat = rows[""][-1], rows["cat"]
    words = len(cat)
    while words and cat[words - 1] == pad:
        words -= 1
    ends = pad == eos or cat[words - 1 : words] == [eos]
    return RowForm(start, eos if ends else None, pad, lengths.pop())


Rows = Callable[[str], Mapping[str, list[int]] | Fault]


def form_faults(form: RowForm, encode: Rows, original: ClipTokenizer) -> list[Fault]:
    """Return what is wrong with the form, and with prompts that are longer than a row."""
    bos, eos, length = original.bos_token_id, original.eos_token_id, original.model_max_length
    faults = []
    if form.start is None:
        faults.append(Fault("start_token_missing", f"a row must begin with {bos} (<|startoftext|>)"))
    if form.end is None:
        faults.append(Fault("end_token_missing", f"the ids of a prompt must be followed by {eos} (<|endoftext|>)"))
    if form.pad is not None and form.pad != original.pad_token_id:
        other = "Stable Diffusion 2.x pads with 0: check with pad_token='!'" if form.pad == 0 else "pad with that"
        faults.append(Fault("padded_with_another_id", f"a row must be filled with {original.pad_token_id}, got {form.pad}; {other}"))
    if form.length is not None and form.length != length:
        faults.append(Fault("padded_to_another_length", f"a row must have {length} ids, got {form.length}; see model_max_length"))
        return faults
    short = encode("cat")
    if isinstance(short, Fault) or short["cat"] != form.row(original.encode("cat")[1:-1]):
        return faults  # where a word has other ids, long prompts say nothing of lengths
    for text in LONG_TEXTS:
        fault = _length_fault(form, text, encode(text), original)
        if fault is not None:
            return [*faults, fault]
    return faults


def _length_fault(form: RowForm, text: str, result: Mapping[str, list[int]] | Fault, original: ClipTokenizer) -> Fault | None:
    """Return what is wrong with the row of a prompt around the longest that fits."""
    if isinstance(result, Fault):
        return result
    row, words, length = result[text], original.encode(text)[1:-1], original.model_max_length
    cut = RowForm(form.start, form.end, original.pad_token_id if form.pad is None else form.pad, length)
    if row == form.row(words) or (len(words) > length - 2 and row == cut.row(words)):
        return None
    what = f"a prompt of {len(words)} words of one token"
    if form.end is not None and row == [*([] if form.start is None else [form.start]), *words][:length]:
        return Fault("end_token_cut_off", f"{what}: a row that is cut must still end with {form.end}, got {row[-1]}")
    wanted = f"{len(cut.row(words))} ids" + ("" if form.pad is not None or len(words) <= length - 2 else f" or {len(form.row(words))}")
    return Fault("truncated_elsewhere", f"{what}: a row must have {wanted}, got {len(row)}, of which {row.count(words[0])} are the words'")
