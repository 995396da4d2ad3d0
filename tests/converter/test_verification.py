"""Verification: good packages pass with their figures, and spoiled ones fail with the name of the spoiled operation."""

import dataclasses
import gc
import shutil
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from converter.verification import Row, Verification, module_layers, verify
from converter.verification.cases import cases_of
from converter.verification.chain import Chain
from converter.verification.error_origins import Measured, error_origins
from converter.verification.figures import psnr
from sdrt.arrays import Array
from sdrt.backends.coreml import MLProgram
from sdrt.errors import ConversionError
from sdrt.metrics import relative_error
from sdrt.models.coreml.names import Role
from sdrt.models.mlpackage.mil import Blob, Operation, TensorType, Typed
from tests.backends.coreml import models
from tests.backends.coreml.peer import convert, ct

Reference = Callable[[Mapping[str, Array]], dict[str, Array]]
_BLOB = "Data/com.apple.CoreML/weights/weight.bin"
_MODEL = "Data/com.apple.CoreML/model.mlmodel"


def reference(module: torch.nn.Module, outputs: Sequence[str]) -> Reference:
    """A torch module as a function of arrays, with inputs in the order of its arguments."""

    def call(inputs: Mapping[str, Array]) -> dict[str, Array]:
        with torch.no_grad():
            found = module(*(torch.from_numpy(value) for value in inputs.values()))
        return {name: value.numpy() for name, value in zip(outputs, found if isinstance(found, tuple) else (found,), strict=True)}

    return call


class Normed(torch.nn.Module):
    """A group norm between two convolutions, which squares deviations from the mean; above 255 this exceeds float16."""

    def __init__(self, scale: float = 1.0) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.first, self.norm, self.last = torch.nn.Conv2d(4, 8, 1), torch.nn.GroupNorm(2, 8), torch.nn.Conv2d(8, 3, 1)
        self.first.weight.data *= scale

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.last(torch.nn.functional.silu(self.norm(self.first(z))))
        return found


@dataclasses.dataclass(frozen=True)
class Made:
    """A package, and the network it was made from."""

    path: Path
    module: Any
    outputs: tuple[str, ...]
    role: Role = "unet"

    @property
    def call(self) -> Reference:
        return reference(self.module, self.outputs)


@pytest.fixture(scope="module")
def unet(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A U-Net in float16; tests must not change it."""
    module = models.UNet().eval().requires_grad_(False)
    path = convert(module, models.sample_inputs(), ("noise_pred",), tmp_path_factory.mktemp("unet"), precision="float16")
    return Made(path, module, ("noise_pred",))


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A text encoder in float16."""
    module, outputs = models.TextEncoder().eval().requires_grad_(False), ("last_hidden_state", "pooled_outputs")
    example = {"input_ids": torch.randint(0, 500, (1, 77)).int()}
    path = convert(module, example, outputs, tmp_path_factory.mktemp("text"), precision="float16")
    return Made(path, module, outputs, "text_encoder")


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A network that takes an image, in float16 throughout."""
    module = Normed().eval()
    folder = tmp_path_factory.mktemp("picture")
    path = convert(module, {"x": torch.randn(1, 4, 3, 3)}, ("latent",), folder, precision="float16", input_dtypes={"x": np.float16})
    return Made(path, module, ("latent",), "vae_encoder")


@pytest.fixture
def made(request: pytest.FixtureRequest) -> Made:
    found: Made = request.getfixturevalue(request.param)
    return found


def operation(path: Path, module: str) -> Operation:
    """Return the operation that uses a module's weight."""
    with MLProgram(path) as program:
        [found] = [
            each
            for each in program.operations()
            if any(isinstance(name, str) and name.startswith(f"{module}_weight") for name in each.inputs.get("weight", ()))
        ]
    return found


def spoiled(source: Path, folder: Path, module: str) -> Path:
    """Make a copy in which the weights of one module are in another order."""
    path = folder / "spoiled.mlpackage"
    shutil.copytree(source, path)
    name = operation(source, module).inputs["weight"][0]
    with MLProgram(source) as program:
        [const] = [each for each in program.operations() if each.name == name]
    data, kind = const.attributes["val"].data, const.outputs[0].type
    assert isinstance(data, Blob)
    assert isinstance(kind, TensorType)
    size = int(np.prod([count or 0 for count in kind.shape]))
    content = bytearray((path / _BLOB).read_bytes())
    start = int.from_bytes(content[data.offset + 16 : data.offset + 24], "little")
    weights = np.frombuffer(content, np.float16, size, start).copy()
    content[start : start + 2 * size] = np.random.default_rng(0).permutation(weights).tobytes()
    (path / _BLOB).write_bytes(content)
    return path


# ---- what is good


@pytest.mark.parametrize("made", ["text", "picture"], indirect=True)
def test_a_good_package_passes_with_its_figures(made: Made) -> None:
    found = verify(made.call, [made.path], role=made.role)
    assert found.passed
    found.require()
    assert {(row.output, row.precision) for row in found.rows} == {(name, mode) for name in made.outputs for mode in ("float32", "float16")}
    # float16 weights alone lose more than float32 arithmetic ever does.
    assert 45 < found.worst.psnr < 90
    assert found.error_origins == ()
    assert found.table().splitlines()[0] == f"model.mlpackage: {made.role}, at least 35 dB: passed"


def test_a_unet_is_tried_at_each_timestep_and_its_float16_is_worst_early(unet: Made) -> None:
    found = verify(unet.call, [unet.path], role="unet", top=3)
    assert found.passed
    cases = [row.case for row in found.rows if row.precision == "float16"]
    assert cases == ["fixed, t=981", "random, t=981", "random, t=501", "random, t=21", "random, t=1"]
    by_case = {row.case: row.psnr for row in found.rows if row.precision == "float16"}
    assert by_case["random, t=1"] > by_case["random, t=981"] + 3
    # The timestep embedding of this package is in float16: t times a frequency has few digits left, which sine and cosine reveal.
    assert len(found.error_origins) == 3
    assert {origin.operation for origin in found.error_origins} & {"sin", "cos"}
    assert "where the error of noise_pred originates" in found.table()


def test_a_float32_package_is_computed_in_float32_alone(tmp_path: Path) -> None:
    module = Normed().eval()
    path = convert(module, {"z": torch.randn(1, 4, 3, 3)}, ("image",), tmp_path)
    found = verify(reference(module, ["image"]), [path], role="vae_decoder")
    assert {row.precision for row in found.rows} == {"float32"}
    with pytest.raises(ConversionError, match=r"must include it, got float16"):
        verify(reference(module, ["image"]), [path], role="vae_decoder", precisions=["float16"])
    assert found.worst.psnr > 100


def test_halves_are_one_network(unet: Made, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        # It leaves two temporary folders to the garbage collector.
        warnings.simplefilter("ignore")
        ct.models.utils.bisect_model(str(unet.path), str(tmp_path), check_output_correctness=False)
        gc.collect()
    halves = sorted(tmp_path.glob("*.mlpackage"))
    assert len(halves) == 2
    whole = verify(unet.call, [unet.path], role="unet", timesteps=(501, 1))
    found = verify(unet.call, halves, role="unet", timesteps=(501, 1))
    with MLProgram(unet.path) as program:
        # In float32 the halves and the whole differ only in the order of sums.
        assert verify(program.predict, halves, role="unet", timesteps=(501,), precisions=["float32"], min_psnr=90).passed
    for one, other in zip(found.rows, whole.rows, strict=True):
        assert (one.case, one.precision, one.output) == (other.case, other.precision, other.output)
        # Values cross the boundary in float32: the same numbers.
        assert one.psnr == pytest.approx(other.psnr, abs=1)
    assert found.package == " and ".join(path.name for path in halves)


def test_each_listed_size_is_tried(tmp_path: Path) -> None:
    module = Normed().eval()
    shapes = ct.EnumeratedShapes([(2, 4, 8, 8), (2, 4, 8, 12), (2, 4, 12, 8)], default=(2, 4, 8, 12))
    path = convert(module, {"z": torch.randn(2, 4, 8, 8)}, ("image",), tmp_path, target="iOS17", shapes={"z": shapes})
    found = verify(reference(module, ["image"]), [path], role="vae_decoder")
    assert [row.case for row in found.rows] == ["fixed", "random", "random, z 2x4x8x8", "random, z 2x4x12x8"]
    assert found.worst.psnr > 100


# ---- what is spoiled


def test_a_spoiled_weight_is_named_by_a_sibling(unet: Made, tmp_path: Path) -> None:
    module = "unet_down_blocks_0_resnets_0_conv2"
    path = spoiled(unet.path, tmp_path, module)
    found = verify(unet.call, [path], role="unet", timesteps=(501,), sibling=[unet.path])
    assert not found.passed
    assert (found.error_origins[0].operation, found.error_origins[0].name) == ("conv", operation(path, module).name)
    with pytest.raises(ConversionError, match=rf"spoiled.mlpackage: noise_pred must reach 35 dB .* originates in conv '.*' \({module}\)"):
        found.require()
    assert "FAILED" in found.table()


def test_a_spoiled_weight_is_named_by_the_layers_of_the_source(unet: Made, tmp_path: Path) -> None:
    module = "unet_mid_block_attentions_0_transformer_blocks_0_attn2_to_v"
    path = spoiled(unet.path, tmp_path, module)
    found = verify(unet.call, [path], role="unet", timesteps=(501,), layers=module_layers(unet.module, unet.call))
    assert found.error_origins[0].place == module


def test_without_sibling_and_layers_it_is_said_what_is_missing(unet: Made, tmp_path: Path) -> None:
    path = spoiled(unet.path, tmp_path, "unet_conv_in")
    with pytest.raises(ConversionError, match=r"the program itself differs from its source; pass sibling"):
        verify(unet.call, [path], role="unet", timesteps=(501,)).require()


def test_what_overflows_float16_is_named(tmp_path: Path) -> None:
    module = Normed(1000.0).eval()
    path = convert(module, {"z": torch.randn(1, 4, 3, 3)}, ("image",), tmp_path, precision="float16")
    found = verify(reference(module, ["image"]), [path], role="vae_decoder")
    assert not found.passed
    # float32 arithmetic shows no difference.
    assert min(row.psnr for row in found.rows if row.precision == "float32") > 45
    # x over infinity is zero: the output is finite, and wrong.
    assert np.isfinite(found.worst.psnr)
    assert (found.error_origins[0].operation, found.error_origins[0].place, found.error_origins[0].finite) == (
        "square",
        "after first",
        False,
    )
    with pytest.raises(ConversionError, match=r"originates in square '.*' \(after first\), the first whose result is not finite"):
        found.require()


def test_a_wrong_transposition_is_named(unet: Made, tmp_path: Path) -> None:
    path = tmp_path / "turned.mlpackage"
    shutil.copytree(unet.path, path)
    spec = ct.utils.load_spec(str(path))
    block = next(iter(spec.mlProgram.functions["main"].block_specializations.values()))
    turned = next(each for each in block.operations if each.type == "transpose")
    name = turned.inputs["perm"].arguments[0].name
    perm = next(each for each in block.operations if each.outputs[0].name == name).attributes["val"].immediateValue.tensor.ints
    assert list(perm.values) == [0, 2, 3, 1]
    # Rows and columns are equal in number, so shapes do not reveal it.
    perm.values[1], perm.values[2] = 3, 2
    (path / _MODEL).write_bytes(spec.SerializeToString())
    found = verify(unet.call, [path], role="unet", timesteps=(501,), sibling=[unet.path])
    assert not found.passed
    assert (found.error_origins[0].operation, found.error_origins[0].name) == ("transpose", turned.outputs[0].name)


def test_a_reference_of_other_outputs_or_shapes_is_refused(unet: Made) -> None:
    with pytest.raises(ConversionError, match=r"a reference must return the package's outputs, got no noise_pred; name its outputs alike"):
        verify(reference(unet.module, ["noise"]), [unet.path], role="unet")
    with pytest.raises(ConversionError, match=r"noise_pred must have its reference's shape, \[2, 4, 8\], got \[2, 4, 8, 8\]"):
        verify(lambda inputs: {"noise_pred": unet.call(inputs)["noise_pred"][..., 0]}, [unet.path], role="unet")
    with pytest.raises(ConversionError, match=r"packages must be one package"):
        verify(unet.call, [], role="unet")
    with pytest.raises(ConversionError, match=r"at least one"):
        verify(unet.call, [unet.path], role="unet", timesteps=())


# ---- inputs


def test_inputs_are_rounded_to_what_the_package_declares_before_the_reference_sees_them(picture: Made) -> None:
    seen: list[Array] = []

    def watched(inputs: Mapping[str, Array]) -> dict[str, Array]:
        seen.append(inputs["x"])
        return picture.call(inputs)

    verify(watched, [picture.path], role="vae_encoder")
    fixed, drawn = seen
    assert all(np.array_equal(value, value.astype(np.float16)) and value.dtype == np.float32 for value in seen)
    assert all(-1 <= value.min() < 0 < value.max() <= 1 for value in seen)
    assert not np.array_equal(fixed, drawn)


def test_the_same_seed_draws_the_same_inputs_and_another_one_others(unet: Made) -> None:
    with Chain([unet.path]) as chain:
        one, same, other = (cases_of(chain, seed, (501.0,)) for seed in (0, 0, 1))
    for a, b, c in zip(one, same, other, strict=True):
        assert all(np.array_equal(a.inputs[name], b.inputs[name]) for name in a.inputs)
        assert np.array_equal(a.inputs["sample"], c.inputs["sample"]) == (a.name == "fixed, t=501")


def test_token_ids_are_a_prompt_of_the_encoders_own_vocabulary(text: Made) -> None:
    words = text.module.encoder.config.vocab_size
    with Chain([text.path]) as chain:
        empty, drawn = (case.inputs["input_ids"][0] for case in cases_of(chain, 0, ()))
    assert empty.tolist() == [words - 2] + [words - 1] * 76
    assert drawn[0] == words - 2
    end = drawn.tolist().index(words - 1)
    assert end > 1
    assert set(drawn[end:].tolist()) == {words - 1}
    assert len(set(drawn[1:end].tolist())) > 1


# ---- figures and verdicts


def test_psnr_is_apples_formula() -> None:
    rng = np.random.default_rng(0)
    wanted = rng.standard_normal(1000)
    found = wanted + 0.01 * rng.standard_normal(1000)
    error = np.sqrt(np.mean((found - wanted) ** 2))
    assert psnr(found, wanted) == pytest.approx(20 * np.log10((abs(wanted).max() + 1e-5) / (error + 1e-10)), abs=1e-9)
    assert psnr(np.full(2, np.inf), np.ones(2)) == -np.inf


def test_relative_error_of_what_cannot_be_compared() -> None:
    assert relative_error(np.ones((2, 3)), np.ones((3, 2))) == np.inf
    assert relative_error(np.array([np.nan, 1.0]), np.array([1.0, 1.0])) == np.inf
    # A causal mask is infinite on both sides.
    assert relative_error(np.array([-np.inf, 1.0]), np.array([-np.inf, 1.0])) == 0
    assert relative_error(np.array([1, 2, 3, 4]), np.array([1, 2, 3, 5])) == 0.25


def _step(name: str, inputs: Sequence[str], error: float | None) -> Measured:
    kind = TensorType("fp32", (1,))
    return Measured(operation=Operation("add", {"x": tuple(inputs)}, (Typed(name, kind),)), error=error)


def test_an_error_that_does_not_persist_is_no_birth() -> None:
    """A mean near zero has a large relative error, which is irrelevant once it is subtracted."""
    steps = [
        _step("x", ["in"], 1e-4),
        _step("mean", ["x"], 0.9),
        _step("apart", ["x", "mean"], 2e-4),
        _step("bad", ["apart"], 0.1),
        _step("out", ["bad"], 0.3),
    ]
    found = error_origins(steps, ["out"], 0.02)
    assert found[0].name == "bad"
    assert next(birth for birth in found if birth.name == "mean").error_out == 2e-4


def test_what_was_not_compared_hands_on_the_error_of_its_inputs() -> None:
    steps = [_step("bad", ["in"], 0.2), _step("unknown", ["bad"], None), _step("out", ["unknown"], 0.2)]
    first, second = error_origins(steps, ["out"], 0.02)
    assert (first.name, second.name) == ("bad", "out")
    assert (second.error_in, second.growth) == (0.2, 1.0)


def test_a_verification_is_judged_by_its_worst_row() -> None:
    rows = [Row(case="a", precision="float32", output="x", psnr=value, max_error=0.1) for value in (60.0, 34.9, 50.0)]
    found = Verification(package="p", role="unet", min_psnr=35.0, rows=tuple(rows))
    assert not found.passed
    assert found.worst.psnr == 34.9
    assert dataclasses.replace(found, min_psnr=34.9).passed
