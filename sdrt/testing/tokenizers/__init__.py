"""Whether a tokenizer of others is CLIP's, and if not, why."""
