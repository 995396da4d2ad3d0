"""Prompts: text as people type it, and text as nobody does."""

from hypothesis import strategies as st

from sdrt.tokenizer.unicode_tables import unicode_tables

__all__ = ["composed_texts", "long_prompts", "prompts", "weighted_prompts"]

_TABLES = unicode_tables()
_PIECES = [
    *("<|startoftext|>", "<|endoftext|>", "<|STARTOFTEXT|>", "<|EndOfText|>", "<|endoftext", "|>", "!<|ENDOFTEXT|>!", "</w>"),
    *("'s", "'T", "'re", "'VE", "'m", "'ll", "'d", "\u2019s", "it's", "I'LL", "''s", "'\u017f", "'\u212a"),
    *(
        "\u00df",
        "\u1e9e",
        "\u0130",
        "i\u0307",
        "\u03a3",
        "\u03c2",
        "\u01c5",
        "\ufb01",
        "\u212b",
        "\u2126",
        "\u00bd",
        "\u2167",
        "\u0663",
        "\u4e94",
    ),
    *("\U0001f468\u200d\U0001f469\u200d\U0001f467", "\U0001f1eb\U0001f1f7", "\u2764\ufe0f", "\ufeff", "\u00ad", "\x00", "\x1c", "\x7f"),
    *("a photo of a cat", "(masterpiece:1.3)", "8k, uhd", "&amp;", "#1girl", "\u7f8e\u3057\u3044\u7d75", "\u0e20\u0e32\u0e1e", "caf\u00e9"),
]
_spaces = st.sampled_from("\t\n\x0b\x0c\r \x85\xa0\u1680\u2000\u200a\u200b\u2028\u2029\u202f\u205f\u2060\u3000\u180e")
_marks = st.sampled_from(sorted(_TABLES.combining_classes))
_composed = st.sampled_from(sorted([*_TABLES.decompositions, *_TABLES.compositions]))
_jamo = st.one_of(st.characters(min_codepoint=0x1100, max_codepoint=0x11FF), st.characters(min_codepoint=0xAC00, max_codepoint=0xD7A3))
_anything = st.characters(exclude_categories=["Cs"])

# Letters and marks in all orders: marks of one class, which block each other, and of several classes, which are sorted.
_marked = st.text(
    "aou\u0227\u1e69s \u0300\u0301\u0304\u0307\u0308\u030b\u0323\u0327\u0328\u031b\u0334\u0345\u3099\u304b\u1100\u1161\u11a8\uac00",
    max_size=8,
)

_prompts = st.lists(
    st.one_of(
        st.text(_anything, max_size=6),
        st.sampled_from(_PIECES),
        _spaces,
        _marks,
        _composed,
        _jamo,
        st.text(st.characters(max_codepoint=127), max_size=8),
    ),
    max_size=12,
).map("".join)

_WORDS = (
    *("a", "cat", "photo", "of", "the", "castle", "highly", "detailed", "8k", "unbelievably", "photorealistic", "blue", "oil painting"),
    *("\u732b", "\u00e9clair", "\U0001f431", "it's", "mother-in-law", "&amp;", "(red:1.2)", "don't", "\u041a\u043e\u0442", "3.14"),
)


def prompts() -> st.SearchStrategy[str]:
    """Draw any prompt, the empty one too: emoji, CJK, combining marks, HTML entities, markers, control characters; no lone surrogates."""
    return _prompts


def composed_texts() -> st.SearchStrategy[str]:
    """Draw letters and marks in all orders: marks of one class, which block each other, and of several, which are sorted."""
    return _marked


def long_prompts(max_words: int = 250) -> st.SearchStrategy[str]:
    """Draw a prompt of words as people use them, from none to several chunks of 75 tokens."""
    words = st.lists(st.sampled_from(_WORDS), min_size=1, max_size=12)
    # a few words over and over: lists of hundreds are rarely drawn, and shrink slowly
    return st.builds(lambda some, count: " ".join(some[k % len(some)] for k in range(count)), words, st.integers(0, max_words))


def weighted_prompts() -> st.SearchStrategy[str]:
    """Draw a prompt in the syntax of weights: brackets in brackets, numbers, escapes, BREAK, and brackets that nothing closes."""
    weight = st.floats(0.05, 2.5).map(lambda value: f"{value:.2f}")
    leaves = st.sampled_from([*_WORDS, "BREAK", "\\(", "\\)", "(", ")", "[", "]", ":1.3", "(:1)", "<lora:x:0.5>"])

    def wrapped(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        joined = st.lists(inner, min_size=1, max_size=3).map(" ".join)
        return st.one_of(
            joined.map(lambda text: f"({text})"),
            joined.map(lambda text: f"[{text}]"),
            st.builds(lambda text, scale: f"({text}:{scale})", joined, weight),
        )

    return st.lists(st.recursive(leaves, wrapped, max_leaves=6), max_size=8).map(" ".join)
