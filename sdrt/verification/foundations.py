"""What everything else stands on: elementary functions, exact products, token ids, noise."""

from collections.abc import Iterator
from functools import partial

import numpy as np

from sdrt import models, rng
from sdrt.exact import functions
from sdrt.exact.log_gamma import log_gamma
from sdrt.exact.mathematics import EXACT
from sdrt.exact.quadrature import gauss_legendre
from sdrt.exact.sums import tree_sum
from sdrt.rng.variation import slerp
from sdrt.tokenizer import ClipTokenizer
from sdrt.verification.check import Check, Stages
from sdrt.verification.digests import digest, numbers

__all__ = ["foundations"]

_TEXTS = (
    "a red circle on a blue background",
    "a small yellow star above a large green square, " * 9,
    "",
    "naïve café  ΑΒΓ 漢字 🐈‍⬛ &amp; don't 12345",
    "a (red:1.3) [blue] BREAK\tx\u00a0y",
)
_STREAMS = ("torch", "torch-scalar", "nv", "numpy", "generator")
_SHAPES = ((1,), (15,), (17,), (4, 16, 12), (5003,))
_SEEDS = (0, 93, 2**31 + 5)


def foundations() -> Iterator[Check]:
    """Yield the checks of functions, tokens and noise."""
    yield Check("functions", "elementary functions", _functions)
    yield Check("functions", "sums and products", _products)
    for name in ("clip", "nano"):
        yield Check("tokens", f"{name} vocabulary", partial(_tokens, name))
    for name in _STREAMS:
        yield Check("noise", f"stream {name}", partial(_noise, name))
    yield Check("noise", "Brownian paths and variations", _paths)


def _functions() -> Stages:
    wide = numbers((4096,), 1).astype(np.float64)
    positive = wide + 2.25
    for name in ("exp", "expm1", "sin", "cos", "tanh"):
        yield name, digest(getattr(functions, name)(wide))
    for name in ("log", "log1p"):
        yield name, digest(getattr(functions, name)(positive))
    yield "arccos", digest(functions.arccos(wide / 2))
    yield "arctan2", digest(functions.arctan2(wide, positive))
    yield "hypot", digest(functions.hypot(wide, positive))
    yield "power", digest(functions.power(positive, 7.0), functions.power(positive, 1 / 7))
    yield "log_gamma", digest(np.array([log_gamma(x) for x in positive[:64].tolist()]))
    yield "quadrature", digest(*(array for count in range(1, 11) for array in gauss_legendre(count)))


def _products() -> Stages:
    a, b = numbers((37, 501), 2), numbers((501, 41), 3)
    yield "tree sum", digest(tree_sum(a, 1), tree_sum(a, (0, 1)))
    yield "mean and deviation", digest(np.asarray(EXACT.mean(a, dtype=np.float64)), EXACT.deviation(a, (0, 1)))
    yield "product in turn", digest(EXACT.matmul(a, b))


def _tokens(name: str) -> Stages:
    tokenizer = ClipTokenizer.clip() if name == "clip" else ClipTokenizer.load(models.path("nano") / "tokenizer")
    for index, text in enumerate(_TEXTS):
        yield f"text {index + 1}", digest(list(tokenizer.encode(text)))


def _noise(name: str) -> Stages:
    for seed in _SEEDS:
        stream = rng.stream(name, seed, numerics="exact")
        for shape in _SHAPES:
            yield f"seed {seed}, {'x'.join(map(str, shape))}", digest(stream.normal(shape))
    yield "float64", digest(rng.stream(name, 7, numerics="exact").normal((500,), "float64"))


def _paths() -> Stages:
    for shape in ((3, 2), (4, 8, 8)):
        path = rng.BrownianTree(shape, 0.03, 14.6, seed=5, numerics="exact")
        yield f"path of {shape}", digest(path.normal_between(14.6, 3.0), path.normal_between(3.0, 0.5))
    low, high = numbers((4, 16, 16), 4), numbers((4, 16, 16), 5)
    yield "variation", digest(slerp(low, high, 0.3, EXACT))
