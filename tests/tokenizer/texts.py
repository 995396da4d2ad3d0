"""Prompts for hypothesis: text as people type it, and text as nobody does."""

from hypothesis import strategies as st

from sdrt.tokenizer.unicode_tables import unicode_tables

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
spaces = st.sampled_from("\t\n\x0b\x0c\r \x85\xa0\u1680\u2000\u200a\u200b\u2028\u2029\u202f\u205f\u2060\u3000\u180e")
marks = st.sampled_from(sorted(_TABLES.combining_classes))
composed = st.sampled_from(sorted([*_TABLES.decompositions, *_TABLES.compositions]))
jamo = st.one_of(st.characters(min_codepoint=0x1100, max_codepoint=0x11FF), st.characters(min_codepoint=0xAC00, max_codepoint=0xD7A3))
anything = st.characters(exclude_categories=["Cs"])

# Letters and marks in all orders: marks of one class, which block each other, and of several classes, which are sorted.
marked = st.text(
    "aou\u0227\u1e69s \u0300\u0301\u0304\u0307\u0308\u030b\u0323\u0327\u0328\u031b\u0334\u0345\u3099\u304b\u1100\u1161\u11a8\uac00",
    max_size=8,
)

prompts = st.lists(
    st.one_of(
        st.text(anything, max_size=6),
        st.sampled_from(_PIECES),
        spaces,
        marks,
        composed,
        jamo,
        st.text(st.characters(max_codepoint=127), max_size=8),
    ),
    max_size=12,
).map("".join)
