"""The text of prompts: brackets, weights, separators, lengths, letters."""

from functools import cache
from typing import Any

import numpy as np

from sdrt import prompt
from sdrt.tokenizer import ClipTokenizer
from tests.fuzz.drawing import Draw
from tests.fuzz.rooms.pipeline import fake_pipeline
from tests.fuzz.values import HOSTILE_TEXTS, any_value, ascii_of

_PARTS = (
    *("(", ")", "[", "]", ":", ":1.2)", ":-3)", ":1e400)", ":nan)", ":inf)", ":0)", ":" + "9" * 400 + ")", "BREAK", " BREAK ", "AND", ","),
    *(
        "\\",
        "\\(",
        "\\\\",
        "<lora:x:0.8>",
        "[a:b:0.5]",
        "[a|b]",
        "[",
        ":5]",
        ":0.3]",
        ":1e400]",
        " :-2",
        "{a|b}",
        "__x__",
        "|",
        "red",
        "circle ",
        "a photo of",
        "é",
        "日本",
        "😀",
    ),
    *("<|endoftext|>", "<|startoftext|>", "\x00", "\x1b[31m", "\n", "\u200d", "\ud800", "!", "!!!", "word " * 80, "((((" * 50, "x" * 300),
)


@cache
def _clip() -> ClipTokenizer:
    return ClipTokenizer.clip()


def text(draw: Draw) -> str:
    """A prompt, seldom longer than some chunks, and seldom enormous."""
    if draw.chance(0.05):
        part = draw.choice(("BREAK ", "(", "a,", "(a:1.1)", "[", "\\", "é", "word "))
        return part * draw.choice((1_000, 20_000, 200_000))
    parts = [draw.choice(HOSTILE_TEXTS) if draw.chance(0.1) else draw.choice(_PARTS) for _ in range(draw.randint(0, 12))]
    return draw.choice(("", " ")).join(parts)


def syntax(draw: Draw) -> str | None:
    """What a prompt is parsed and cut into."""
    given: Any = text(draw) if draw.chance(0.9) else any_value(draw)
    draw.note(ascii_of(given))
    call = draw.choice(("parse", "escape", "chunks", "chunks", "schedule", "parts"))
    if call == "escape":
        escaped = prompt.escape(given)
        parts = [piece for section in prompt.parse(escaped) for piece in section]
        same = not prompt.changes(escaped) and not prompt.is_composed(escaped)
        return "an escaped text is no text" if any(piece.weight != 1 for piece in parts) or not same else None
    if call == "schedule":
        steps: Any = draw.randint(1, 30) if draw.chance(0.9) else any_value(draw)
        lasts = [last for last, _ in prompt.schedule(given, steps)]
        return None if lasts == sorted(set(lasts)) and lasts[-1] == steps else "a schedule that does not rise to the last step"
    if call == "parts":
        return None if np.isfinite([part.weight for part in prompt.prompt_parts(given)]).all() else "a weight that is not finite"
    if call == "parse":
        pieces = [piece for section in prompt.parse(given) for piece in section]
        return None if np.isfinite([piece.weight for piece in pieces]).all() else "a weight that is not finite"
    options: dict[str, Any] = {"syntax": "weighted", "long_prompts": draw.choice(("chunk", "truncate"))}
    if draw.chance(0.2):
        options[draw.choice(("syntax", "long_prompts"))] = any_value(draw)
    chunks = prompt.chunk_prompt(given, _clip(), **options)
    if not np.isfinite(chunks.weights).all():
        return "a weight that is not finite"
    return None if chunks.input_ids.shape == chunks.weights.shape else "shapes that differ"


def pictures(draw: Draw) -> str | None:
    """A picture of the prompt."""
    options: dict[str, Any] = {"seed": 1, "num_inference_steps": 1, "height": 64, "width": 64}
    first, second = text(draw), text(draw) if draw.chance(0.4) else ""
    if draw.chance(0.3):
        options["emphasis"] = draw.choice(("no_norm", any_value(draw)))
    draw.note(f"{ascii_of(first)}, {ascii_of(second)}, {ascii_of(options.get('emphasis'))}")
    result = fake_pipeline().generate(first, second, **options)
    result.save(draw.place)
    return None


def emphasis(draw: Draw) -> str | None:
    """Weights on hidden states."""
    states: Any = np.ones((1, 3, 4), draw.choice(("f4", "f8", "f2", "i4"))) if draw.chance(0.7) else any_value(draw)
    weights: Any = np.array([[1.0, draw.choice((1.2, 0.0, -1.0, np.nan, np.inf, 1e300)), 1.0]]) if draw.chance(0.7) else any_value(draw)
    draw.note(f"{ascii_of(states)}, {ascii_of(weights)}")
    found = prompt.emphasise(states, weights, draw.choice(("original", "no_norm", "x")))  # type: ignore[arg-type]
    return None if np.isfinite(found).all() else "states that are not finite"


GENERATORS = {"prompt-syntax": syntax, "prompt-pictures": pictures, "prompt-emphasis": emphasis}
