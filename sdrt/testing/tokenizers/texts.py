"""Prompts that tokenizers are compared over: each mistake shows in some of them."""

import random

__all__ = ["LONG_TEXTS", "TEXTS"]

_WRITTEN = (
    "a photo of a cat",
    "A Photo Of A CAT",
    "supercalifragilisticexpialidocious antidisestablishmentarianism",
    "an  astronaut\triding \n a horse ",
    "   leading and trailing   ",
    "no\u00a0break\u3000and wide\u2003blanks\u2028here",
    "file\x1cseparated\x1fwords",
    "8k, 1920x1080, f/1.4, 35mm, 2024",
    "it's we're I've they'll I'm don't he'd 'quoted' the cats'",
    "wait... what?! (yes) [no] {maybe} --- *** #tag @name a,b;c:d",
    "masterpiece, best quality, (detailed:1.3), [blurry], <lora:x:0.8>",
    "rock&roll &amp; R&amp;B &lt;b&gt; caf&eacute; &#39;x&#39;",
    "caf\u00e9 cafe\u0301 na\u00efve \u00c5ngstr\u00f6m \u00fcber",
    "\u1112\u1161\u11ab\u1100\u1173\u11af \ud55c\uad6d\uc5b4",
    "\u7f8e\u3057\u3044\u7d75 \u4e2d\u6587 \u65e5\u672c\u8a9e",
    "\u041a\u043e\u0442 \u0438 \u041f\u0451\u0441 \u03b1\u03b2\u03b3 \u05e9\u05dc\u05d5\u05dd \u0645\u0631\u062d\u0628\u0627",
    "\u039f\u0394\u039f\u03a3 \u039f\u0394\u039f\u03a3.",
    "Stra\u00dfe STRASSE gro\u00df",
    "\ufb01ne \uff37\uff29\uff24\uff25 \u00bd \u2167 x\u00b2",
    "\u201cquotes\u201d and it\u2019s \u2018single\u2019 \u2026 \u2013 \u2014",
    "\U0001f600\U0001f431 a \U0001f436dog \u2764\ufe0f",
    "\U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001f1eb\U0001f1f7 \U0001f44d\U0001f3fd",
    "\u0e20\u0e32\u0e29\u0e32\u0e44\u0e17\u0e22 \u0939\u093f\u0928\u094d\u0926\u0940",
    "<|startoftext|>a cat<|endoftext|> and <|ENDOFTEXT|> x",
    "hello_world snake_case CamelCase kebab-case a/b\\c",
    "$100 \u20ac50 50% +1 -2 3*4=12 ~ ^ `code`",
    "!!! ??? ... !?!?",
    "1girl 4k 3d 90s 1st 22nd",
    "<w>,</w> </w>x",
)

_PIECES = (
    *("cat", "Dog", "ASTRONAUT", "paint", "ings", "hyper", "realistic", "unbeliev", "ably", "qzx", "aaaa", "the", "of", "ly"),
    *(" ", " ", " ", "  ", ", ", ". ", "-", "'s ", "'ll ", "(", ")", ":", "1", "23", "0.8", "!", "?", "&", "/", "_"),
    *("\u00e9", "\u00df", "\u00c9", "e\u0301", "\u732b", "\u30cd\u30b3", "\u043a\u043e\u0442", "\U0001f431", "\u2019", "\u00a0", "\u2764"),
)


def _mixed(count: int) -> tuple[str, ...]:
    """Join pieces at random, the same ones on every machine."""
    chosen = random.Random(93)
    return tuple("".join(chosen.choice(_PIECES) for _ in range(chosen.randint(3, 14))) for _ in range(count))


TEXTS = (*_WRITTEN, *_mixed(100))

# Words that are one token each: 74 to 76 are the most that a row of 77 holds, and one more.
LONG_TEXTS = tuple(" ".join(["cat"] * count) for count in (74, 75, 76, 100, 200))
