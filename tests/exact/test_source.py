"""The source itself: on the way of exact numerics no function is called that IEEE 754 leaves open, unless a reason says why it may."""

import ast
from pathlib import Path

import pytest

import sdrt
from tests.exact.open_calls import OPEN, calls

ROOT = Path(sdrt.__file__).parent
ROOMS = ("exact", "guidance", "images", "pipeline", "prompt", "records", "rng", "schedulers", "models/lora", "models/families", "upscaling")

# By file: what it calls, and why it may.
ALLOWED: dict[str, dict[str, str]] = {
    "exact/mathematics.py": dict.fromkeys(OPEN, "the platform's functions, which exact numerics do not choose"),
    "exact/product.py": {"matmul": "of numbers whose products and sums are whole multiples below 2**53"},
    "images/deflate.py": {"cumsum": "of whole numbers"},
    "images/exact_png.py": {"sum": "of whole numbers"},
    "images/preprocessors/soft_edges.py": {"sum": "of three arrays, one after the other"},
    "models/lora/matching.py": {"sum": "of whole numbers"},
    "pipeline/call_remarks.py": {"sum": "of whole numbers"},
    "pipeline/conditions/prompt_texts.py": {"sum": "of whole numbers"},
    "pipeline/denoiser.py": {"argsort": "of places that differ"},
    "pipeline/loaded_model.py": {"sum": "of whole numbers"},
    "pipeline/loaded_pipeline.py": {"power": "of whole numbers"},
    "pipeline/prepare.py": {"sum": "of whole numbers"},
    "pipeline/steps.py": {"sum": "of whole numbers"},
    "prompt/chunks.py": {"sum": "of whole numbers"},
    "prompt/syntax.py": {"sum": "of whole numbers"},
    "rng/numpy_stream.py": {"standard_normal": "of the other numerics; exact ones have polar.py"},
    "rng/generator_stream.py": {"standard_normal": "of the other numerics; exact ones have ziggurat.py"},
    "schedulers/core/run.py": {"sum": "of a few numbers whose size alone is looked at"},
    "schedulers/samplers/restart.py": {"sum": "of whole numbers"},
    "upscaling/base.py": {"sum": "of whole numbers"},
}


FILES = sorted(file for room in ROOMS for file in (ROOT / room).rglob("*.py"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_no_open_function_is_called(file: Path) -> None:
    allowed = ALLOWED.get(str(file.relative_to(ROOT)), {})
    found = [f"line {line}: {name}" for line, name in calls(ast.parse(file.read_text(encoding="utf-8"))) if name not in allowed]
    assert not found, "take it from the record of functions (sdrt.exact.mathematics), or give a reason in ALLOWED"


def test_every_permission_is_used() -> None:
    for name, allowed in ALLOWED.items():
        file = ROOT / name
        if name == "exact/mathematics.py":
            continue
        used = {call for _, call in calls(ast.parse(file.read_text(encoding="utf-8")))}
        assert set(allowed) <= used, name


@pytest.mark.parametrize(
    "source", ["np.exp(x)", "math.log(x)", "x ** 0.5", "a @ b", "x.mean()", "sum(x)", "np.linalg.norm(x)", "x**2", "self.x.sum(1)"]
)
def test_open_calls_are_seen(source: str) -> None:
    assert list(calls(ast.parse(source)))


@pytest.mark.parametrize("source", ["functions.exp(x)", "self.functions.sum(x, 1)", "2.0**-24", "2**count", "np.sqrt(x)", "x * x"])
def test_others_are_not(source: str) -> None:
    assert not list(calls(ast.parse(source)))
