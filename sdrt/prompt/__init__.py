"""Turn a prompt's text into the states that the U-Net attends to: weighted syntax, chunks of 75 tokens, emphasis."""

from sdrt.prompt.chunks import Chunks, LongPrompts, chunk_prompt
from sdrt.prompt.composition import PromptPart, is_composed, prompt_parts
from sdrt.prompt.editing import Schedule, changes, schedule
from sdrt.prompt.emphasis import Emphasis, check_emphasis, emphasise
from sdrt.prompt.encode import encode_prompts
from sdrt.prompt.foreign import foreign_syntax
from sdrt.prompt.loras import LoraTag, lora_tags, without_lora_tags
from sdrt.prompt.syntax import Piece, PromptSyntax, escape, parse

__all__ = [
    "Chunks",
    "Emphasis",
    "LongPrompts",
    "LoraTag",
    "Piece",
    "PromptPart",
    "PromptSyntax",
    "Schedule",
    "changes",
    "check_emphasis",
    "chunk_prompt",
    "emphasise",
    "encode_prompts",
    "escape",
    "foreign_syntax",
    "is_composed",
    "lora_tags",
    "parse",
    "prompt_parts",
    "schedule",
    "without_lora_tags",
]
