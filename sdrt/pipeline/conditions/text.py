"""Prompts through one or two text encoders: the states that the U-Net attends to, and the pooled state that SDXL adds to its time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sdrt.arrays import I32, Float
from sdrt.backends import ComponentOptions
from sdrt.backends.pool import CheckedNetwork, NetworkPool
from sdrt.errors import ConfigError
from sdrt.guidance import Row
from sdrt.models import ComponentName
from sdrt.prompt import Chunks, chunk_prompt, encode_prompts
from sdrt.records.settings import Settings
from sdrt.tokenizer import ClipTokenizer

__all__ = ["TextCondition", "TokenizedPrompts", "encode_text", "text_encoder_options", "tokenize"]


@dataclass(frozen=True, eq=False)
class TokenizedPrompts:
    """The prompts of a run as one text encoder takes them.

    Parameters
    ----------
    rows : mapping
        The text of each row that a guidance may ask for.
    empty : Chunks
        The empty prompt, which fills up shorter ones.
    """

    rows: Mapping[Row, Chunks]
    empty: Chunks

    @property
    def truncated(self) -> tuple[str, str]:
        """What did not fit of the prompt and of the negative prompt."""
        return self.rows["prompt"].truncated, self.rows["negative"].truncated


@dataclass(frozen=True, eq=False)
class TextCondition:
    """Texts as the U-Net takes them.

    Parameters
    ----------
    encoder_hidden_states : float[r,L,D]
        For each row of the guidance, in its order; of two encoders side by side.
    pooled : float[r,P]
        Of the last encoder, from each prompt's first chunk.
    """

    encoder_hidden_states: Float
    pooled: Float


def tokenize(tokenizers: Mapping[ComponentName, ClipTokenizer], settings: Settings) -> dict[ComponentName, TokenizedPrompts]:
    """Tokenize prompt and negative prompt for each text encoder.

    Raises
    ------
    ConfigError : as :func:`sdrt.prompt.chunk_prompt`
    """

    def chunks(text: str, tokenizer: ClipTokenizer) -> Chunks:
        return chunk_prompt(text, tokenizer, settings.prompt_syntax, settings.long_prompts)  # type: ignore[arg-type]

    return {
        component: TokenizedPrompts(
            {"negative": chunks(settings.negative_prompt, tokenizer), "prompt": chunks(settings.prompt, tokenizer)}, chunks("", tokenizer)
        )
        for component, tokenizer in tokenizers.items()
    }


def text_encoder_options(settings: Settings, row: Row) -> ComponentOptions:
    """Return the options of the text encoder that encodes a row: diffusers 0.42.1 leaves ``clip_skip`` out of the negative prompt."""
    forgotten = row == "negative" and settings.compat == "diffusers"
    return ComponentOptions(clip_skip=0 if forgotten else settings.clip_skip)


def encode_text(
    networks: NetworkPool,
    prompts: Mapping[ComponentName, TokenizedPrompts],
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
    prompts : mapping from text encoder to its prompts, in the order in which their states stand side by side
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
    encoded = [_encode(networks, component, kind, each, settings, rows) for component, each in prompts.items()]
    side_by_side: Float = np.concatenate([states for states, _ in encoded], axis=2)
    _, pooled = encoded[-1]
    if "negative" in rows and zero_negative and not settings.negative_prompt:
        zeroed = rows.index("negative")
        side_by_side[zeroed], pooled[zeroed] = 0, 0
    return TextCondition(side_by_side, pooled)


def _encode(
    networks: NetworkPool, component: ComponentName, kind: str, prompts: TokenizedPrompts, settings: Settings, rows: Sequence[Row]
) -> tuple[Float, Float]:
    """States float[r,L,D] and pooled states float[r,P] of one encoder; rows of the same options go through it together."""
    count = max(len(prompts.rows[row].input_ids) for row in rows)
    states: dict[Row, Float] = {}
    pooled: dict[Row, Float] = {}
    for options in dict.fromkeys(text_encoder_options(settings, row) for row in rows):
        together = [row for row in rows if text_encoder_options(settings, row) == options]
        with networks.using(component, options) as encoder:
            if lacking := [name for name in (kind, "pooled") if name not in encoder.signature.output_names()]:
                there = ", ".join(encoder.signature.output_names())
                raise ConfigError(
                    f"{component}: gives {there}, and this model needs its {' and '.join(lacking)}; take that of another conversion"
                )

            def encode(input_ids: I32, encoder: CheckedNetwork = encoder) -> tuple[Float, Float]:
                outputs = encoder(input_ids=input_ids)
                return outputs[kind], outputs["pooled"]

            chunks = [prompts.rows[row] for row in together]
            found = encode_prompts(encode, chunks, prompts.empty, settings.emphasis, count)  # type: ignore[arg-type]
        states |= zip(together, np.split(found[0], len(together)), strict=True)
        pooled |= zip(together, np.split(found[1], len(together)), strict=True)
    return np.concatenate([states[row] for row in rows]), np.concatenate([pooled[row] for row in rows])
