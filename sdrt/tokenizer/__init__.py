"""CLIP's byte-pair encoding in plain Python: the ids of transformers' ``CLIPTokenizer`` for any text, on any Python."""

from sdrt.tokenizer.clip_tokenizer import ClipTokenizer, TokenBatch

__all__ = ["ClipTokenizer", "TokenBatch"]
