"""CLIP's byte-pair encoding in plain Python: the ids that text encoders were trained on for any text, on any Python."""

from sdrt.tokenizer.clip_tokenizer import ClipTokenizer, TokenBatch
from sdrt.tokenizer.dialects import in_dialect
from sdrt.tokenizer.swift_bpe import SwiftTokenizer

__all__ = ["ClipTokenizer", "SwiftTokenizer", "TokenBatch", "in_dialect"]
