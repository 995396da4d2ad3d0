"""What holds for every kind, rank, alpha and strength."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from sdrt.arrays import Array
from sdrt.models import Model, open_model
from sdrt.models.lora import AppliedLora, Lora, open_lora, with_loras
from tests.factories import normal

MODULES = ("down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k", "down_blocks.0.attentions.0.proj_in", "mid_block.resnets.0.conv1")
LINEAR = ("lora", "tucker", "loha", "lokr", "full")
strengths = st.floats(-2, 2, width=32)


@pytest.fixture(scope="module")
def model(pristine: dict[str, Path]) -> Model:
    return open_model(pristine["sd1"])


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("drawn") / "lora.safetensors"


def layer(kind: str, shape: tuple[int, ...], rank: int, seed: int) -> dict[str, Array]:
    """The factors of one layer for a weight of this shape."""
    out, into, *kernel = shape
    ones = [1] * len(kernel)
    match kind:
        case "lora" | "dora":
            made = {"lora_down.weight": normal(seed, rank, into, *kernel), "lora_up.weight": normal(seed + 1, out, rank, *ones)}
            return made | ({"dora_scale": 1 + normal(seed + 2, out, 1, *ones) ** 2} if kind == "dora" else {})
        case "tucker":
            kernel = kernel or [1, 1]
            thin = {"lora_down.weight": normal(seed, rank, into, 1, 1), "lora_up.weight": normal(seed + 1, out, rank, 1, 1)}
            return thin | {"lora_mid.weight": normal(seed + 2, rank, rank, *kernel)}
        case "loha":
            size = into * int(np.prod(kernel))
            sides = [(f"hada_w{k}_{side}", dims) for k in "12" for side, dims in (("a", (out, rank)), ("b", (rank, size)))]
            return {name: normal(seed + k, *dims) for k, (name, dims) in enumerate(sides)}
        case "lokr":
            halves = {"lokr_w2_a": normal(seed + 1, out // 2, rank), "lokr_w2_b": normal(seed + 2, rank, into // 2 * int(np.prod(kernel)))}
            return {"lokr_w1": normal(seed, 2, 2), **halves}
        case "ia3":
            return {"weight": normal(seed, into), "on_input": np.array(1)}
        case _:
            return {"diff": normal(seed, *shape)}


@st.composite
def layers(draw: Any, kinds: tuple[str, ...]) -> tuple[str, str, int, float | None, int]:
    kind, module = draw(st.sampled_from(kinds)), draw(st.sampled_from(MODULES))
    return kind, module, draw(st.integers(1, 9)), draw(st.none() | st.floats(0.125, 16, width=32)), draw(st.integers(0, 1000))


def opened(model: Model, file: Path, drawn: tuple[str, str, int, float | None, int]) -> tuple[Lora, str]:
    kind, module, rank, alpha, seed = drawn
    factors = layer(kind, model.tensors("unet").shape(f"{module}.weight"), rank, seed)
    stored = factors | ({} if alpha is None else {"alpha": np.array(alpha, np.float32)})
    # another name: the model may still hold a map of the file before
    file = file.with_name(f"{abs(hash(drawn))}.safetensors")
    save_file({f"lora_unet_{module.replace('.', '_')}.{name}": tensor for name, tensor in stored.items()}, file)
    return open_lora(file, model), f"{module}.weight"


def weight(model: Model, name: str, *loras: AppliedLora) -> Array:
    return with_loras(model, loras).tensors("unet")[name]


@settings(max_examples=20)
@given(layers((*LINEAR, "dora", "ia3")))
def test_strength_0_is_the_base_to_the_bit(model: Model, file: Path, drawn: Any) -> None:
    lora, name = opened(model, file, drawn)
    base = weight(model, name)
    assert np.abs(weight(model, name, AppliedLora(lora)) - base).max() > 1e-3
    assert weight(model, name, AppliedLora(lora, 0)).tobytes() == base.tobytes()
    assert weight(model, name, AppliedLora(lora, 0.0, 1.0)).tobytes() == base.tobytes()
    assert weight(model, name).tobytes() == base.tobytes()


@settings(max_examples=20)
@given(layers(LINEAR), strengths, strengths)
def test_strengths_add_up(model: Model, file: Path, drawn: Any, one: float, other: float) -> None:
    lora, name = opened(model, file, drawn)
    unit = np.abs(weight(model, name, AppliedLora(lora))).max()
    together = weight(model, name, AppliedLora(lora, one), AppliedLora(lora, other))
    # rounded to float32 after each
    np.testing.assert_allclose(together, weight(model, name, AppliedLora(lora, one + other)), rtol=0, atol=3e-6 * float(unit))


@settings(max_examples=12)
@given(layers(LINEAR), st.sampled_from(LINEAR), st.integers(0, 1000))
def test_two_loras_commute_to_rounding(model: Model, file: Path, drawn: Any, kind: str, seed: int) -> None:
    lora, name = opened(model, file, drawn)
    other, _ = opened(model, file, (kind, drawn[1], 2, None, seed))
    first, second = AppliedLora(lora, 0.75), AppliedLora(other, -0.5)
    found = weight(model, name, first, second)
    np.testing.assert_allclose(found, weight(model, name, second, first), rtol=0, atol=2e-6 * float(np.abs(found).max()))


@settings(max_examples=12)
@given(layers(("dora",)), strengths)
def test_strength_mixes_a_weight_with_its_decomposed_form(model: Model, file: Path, drawn: Any, strength: float) -> None:
    """Liu et al. 2024, equation 5: at full strength each row is as long as its magnitude."""
    lora, name = opened(model, file, drawn)
    base, whole = weight(model, name), weight(model, name, AppliedLora(lora))
    rows = np.sqrt(np.square(whole.reshape(len(whole), -1), dtype=np.float64).sum(axis=1))
    magnitudes = layer("dora", base.shape, *drawn[2::2])["dora_scale"].reshape(-1)
    np.testing.assert_allclose(rows, magnitudes, rtol=1e-5)
    mixed = weight(model, name, AppliedLora(lora, strength))
    np.testing.assert_allclose(mixed, base + strength * (whole - base), rtol=0, atol=3e-6 * float(np.abs(whole).max()))
