"""Prompts through one or two text encoders: the states that the U-Net attends to, and the pooled state that SDXL adds to its time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sdrt.arrays import I32, Float
from sdrt.backends import ComponentOptions
from sdrt.backends.pool import NetworkPool
from sdrt.errors import ConfigError
from sdrt.guidance import Row
from sdrt.models import ComponentName
from sdrt.prompt import Chunks, chunk_prompt, encode_prompts
from sdrt.records.settings import Settings
from sdrt.tokenizer import ClipTokenizer

__all__ = ["TextCondition", "encode_text"]


@dataclass(frozen=True, eq=False)
class TextCondition:
    """Texts as the U-Net takes them.

    Parameters
    ----------
    encoder_hidden_states : float[r,L,D]
        For each row of the guidance, in its order; of two encoders side by side.
    pooled : float[r,P]
        Of the last encoder, from each prompt's first chunk.
    truncated : tuple of str
        What did not fit of the prompt and of the negative prompt.
    """

    encoder_hidden_states: Float
    pooled: Float
    truncated: tuple[str, str]


def encode_text(
    networks: NetworkPool,
    tokenizers: Mapping[ComponentName, ClipTokenizer],
    settings: Settings,
    *,
    rows: Sequence[Row],
    raw: bool,
    zero_negative: bool,
) -> TextCondition:
    """Encode the texts of a guidance's rows.

    Parameters
    ----------
    networks : NetworkPool
    tokenizers : mapping from text encoder to its tokenizer, in the order in which their states stand side by side
    settings : Settings
    rows : sequence of Row
        Of the guidance.
    raw : bool
        Whether the model was trained on the states before the last layer, without the final norm, as SDXL was.
    zero_negative : bool
        Whether a negative prompt that is empty becomes zeros, as SDXL's base was trained (``force_zeros_for_empty_prompt``).

    Source: diffusers 0.42.1 ``StableDiffusionXLPipeline.encode_prompt``.
    """
    kind = "penultimate_hidden_state" if raw else "last_hidden_state"
    states: list[Float] = []
    pooled: Float = np.empty((0, 0))
    truncated = ("", "")
    for component, tokenizer in tokenizers.items():
        empty, negative, prompt = (
            chunk_prompt(text, tokenizer, settings.prompt_syntax, settings.long_prompts)  # type: ignore[arg-type]
            for text in ("", settings.negative_prompt, settings.prompt)
        )
        texts: dict[Row, Chunks] = {"negative": negative, "prompt": prompt}
        found, pooled = _encode(networks, component, kind, {row: texts[row] for row in rows}, empty, settings)
        states.append(found)
        truncated = (prompt.truncated, negative.truncated)
    side_by_side: Float = np.concatenate(states, axis=2)
    if "negative" in rows and zero_negative and not settings.negative_prompt:
        zeroed = rows.index("negative")
        side_by_side[zeroed], pooled[zeroed] = 0, 0
    return TextCondition(side_by_side, pooled, truncated)


def _encode(
    networks: NetworkPool, component: ComponentName, kind: str, texts: Mapping[Row, Chunks], empty: Chunks, settings: Settings
) -> tuple[Float, Float]:
    """States float[r,L,D] and pooled states float[r,P] of one encoder.

    diffusers 0.42.1 leaves ``clip_skip`` out of the negative prompt.
    """
    chunks = list(texts.values())
    if settings.clip_skip and settings.compat == "diffusers" and "negative" in texts:
        count = max(len(row.input_ids) for row in chunks)
        skips = (0 if row == "negative" else settings.clip_skip for row in texts)
        encoded = [_states(networks, component, kind, [row], empty, settings, skip, count) for row, skip in zip(chunks, skips, strict=True)]
        return np.concatenate([states for states, _ in encoded]), np.concatenate([pooled for _, pooled in encoded])
    return _states(networks, component, kind, chunks, empty, settings, settings.clip_skip)


def _states(
    networks: NetworkPool,
    component: ComponentName,
    kind: str,
    rows: list[Chunks],
    empty: Chunks,
    settings: Settings,
    clip_skip: int,
    least: int = 1,
) -> tuple[Float, Float]:
    with networks.using(component, ComponentOptions(clip_skip=clip_skip)) as encoder:
        if lacking := [name for name in (kind, "pooled") if name not in encoder.signature.output_names()]:
            there = ", ".join(encoder.signature.output_names())
            raise ConfigError(
                f"{component}: gives {there}, and this model needs its {' and '.join(lacking)}; take that of another conversion"
            )

        def encode(input_ids: I32) -> tuple[Float, Float]:
            outputs = encoder(input_ids=input_ids)
            return outputs[kind], outputs["pooled"]

        return encode_prompts(encode, rows, empty, settings.emphasis, least)  # type: ignore[arg-type]
