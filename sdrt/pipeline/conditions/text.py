"""Prompts through one or two text encoders: the states that the U-Net attends to, and the pooled state that SDXL adds to its time."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from sdrt.arrays import I32, Float
from sdrt.backends import ComponentOptions
from sdrt.backends.pool import NetworkPool
from sdrt.errors import ConfigError
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
        A row for the negative prompt, if there is guidance, then one for the prompt; of two encoders side by side.
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
    guided: bool,
    raw: bool,
    zero_negative: bool,
) -> TextCondition:
    """Encode prompt and negative prompt.

    Parameters
    ----------
    networks : NetworkPool
    tokenizers : mapping from text encoder to its tokenizer, in the order in which their states stand side by side
    settings : Settings
    guided : bool
        Whether the negative prompt is needed.
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
        rows = [negative, prompt] if guided else [prompt]
        found, pooled = _encode(networks, component, kind, rows, empty, settings)
        states.append(found)
        truncated = (prompt.truncated, negative.truncated)
    side_by_side: Float = np.concatenate(states, axis=2)
    if guided and zero_negative and not settings.negative_prompt:
        side_by_side[0], pooled[0] = 0, 0
    return TextCondition(side_by_side, pooled, truncated)


def _encode(
    networks: NetworkPool, component: ComponentName, kind: str, rows: list[Chunks], empty: Chunks, settings: Settings
) -> tuple[Float, Float]:
    """States float[r,L,D] and pooled states float[r,P] of one encoder.

    diffusers 0.42.1 leaves ``clip_skip`` out of the negative prompt.
    """
    if settings.clip_skip and settings.compat == "diffusers" and len(rows) == 2:
        count = max(len(row.input_ids) for row in rows)
        negative, prompt = (
            _states(networks, component, kind, [row], empty, settings, skip, count)
            for row, skip in zip(rows, (0, settings.clip_skip), strict=True)
        )
        return np.concatenate([negative[0], prompt[0]]), np.concatenate([negative[1], prompt[1]])
    return _states(networks, component, kind, rows, empty, settings, settings.clip_skip)


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
