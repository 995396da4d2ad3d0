"""Whole networks: a package made by coremltools, against the torch module that it was made from."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from sdrt.backends.coreml import MLProgram, describe
from sdrt.errors import ArrayContractError, BackendError, ConfigError
from tests.backends.coreml.models import UNet, sample_inputs
from tests.backends.coreml.peer import convert, ct

Packages = Callable[..., tuple[Path, torch.nn.Module, dict[str, torch.Tensor]]]
KINDS = ("unet", "vae_decoder", "vae_encoder", "text_encoder", "split_attention", "layers")


def decibels(found: np.ndarray, wanted: np.ndarray) -> float:
    """20 log10 of the largest value over the root mean square error, as Apple's converter counts it."""
    error = np.sqrt(np.mean(np.square(found.astype(np.float64) - wanted)))
    return float(20 * np.log10(np.abs(wanted).max() / max(error, 1e-30)))


def _wanted(module: torch.nn.Module, inputs: dict[str, torch.Tensor]) -> list[np.ndarray]:
    found = module(*inputs.values())
    return [item.numpy() for item in (found if isinstance(found, tuple) else (found,))]


# iOS 18 differs in attention alone, which only the U-Net has in a form that it changes
TARGETS = (*((kind, "iOS16") for kind in KINDS), ("unet", "iOS18"))


@pytest.mark.parametrize(("kind", "target"), TARGETS)
def test_a_float32_package_is_the_network_to_100_decibels(package: Packages, kind: str, target: str) -> None:
    path, module, inputs = package(kind, "float32", target)
    wanted = _wanted(module, inputs)
    for fuse in (True, False):
        found = MLProgram(path, fuse=fuse).predict(inputs)
        for one, other in zip(found.values(), wanted, strict=True):
            assert decibels(one, other) >= 100


# float16 steps are 2**-11 of a value: 66 dB for one, less for a chain of them; a network of some dozen layers loses 16 dB
@pytest.mark.parametrize("kind", KINDS)
def test_a_float16_package_is_the_network_to_50_decibels(package: Packages, kind: str) -> None:
    path, module, inputs = package(kind, "float16")
    module_inputs = dict(inputs)
    if kind == "unet":
        # at t = 981 a float16 package's own timestep embedding is good for no more; see the next test
        module_inputs["timestep"] = torch.tensor([16.0, 17.0])
    for precision in ("float32", "float16"):
        found = MLProgram(path, precision=precision).predict(module_inputs)
        for one, other in zip(found.values(), _wanted(module, module_inputs), strict=True):
            assert decibels(one, other) >= 50, precision


def test_half_precision_rounds_what_the_program_rounds(package: Packages) -> None:
    """float16 mode is farther from the network than float32 mode, and farthest where t * frequency has few digits left."""
    path, module, inputs = package("unet", "float16")
    late = dict(inputs, timestep=torch.tensor([981.0, 981.0]))
    early = dict(inputs, timestep=torch.tensor([1.0, 1.0]))
    exact, rounded = MLProgram(path), MLProgram(path, precision="float16")
    gaps = {
        name: [decibels(model.predict(given)["noise_pred"], _wanted(module, given)[0]) for given in (late, early)]
        for name, model in (("exact", exact), ("rounded", rounded))
    }
    assert gaps["rounded"][1] > gaps["rounded"][0] + 3
    assert gaps["exact"][0] > gaps["rounded"][0] + 3


@pytest.mark.parametrize(("kind", "target"), TARGETS)
def test_patterns_change_nothing_but_rounding(package: Packages, kind: str, target: str) -> None:
    path, _, inputs = package(kind, "float32" if target == "iOS18" else "float16", target)
    fused, plain = MLProgram(path), MLProgram(path, fuse=False)
    assert fused.step_count < plain.step_count
    for name, one in fused.predict(inputs).items():
        other = plain.predict(inputs)[name]
        assert np.abs(one - other).max() <= 1e-5 * np.abs(other).max()


def test_each_pattern_is_found(package: Packages) -> None:
    kinds = {name for kind in KINDS for name in MLProgram(package(kind)[0]).computation_names()}
    assert kinds >= {
        "AttentionStep",
        "Conv1x1Step",
        "Conv3x3Step",
        "FeedForwardStep",
        "GroupNormStep",
        "HeadsStep",
        "LinearStep",
        "SigmoidGateStep",
    }


def test_weights_are_made_again_where_they_may_not_be_kept(package: Packages) -> None:
    path, _, inputs = package("unet", "float16")
    free, bounded = MLProgram(path), MLProgram(path, keep_weights=10_000)
    for _ in range(2):
        assert np.array_equal(free.predict(inputs)["noise_pred"], bounded.predict(inputs)["noise_pred"])
    assert bounded.kept_bytes <= 10_000 < free.kept_bytes


def test_inputs_are_cast_and_checked(package: Packages) -> None:
    path, _, inputs = package("unet")
    model = MLProgram(path)
    given = {name: value.numpy() for name, value in inputs.items()}
    wanted = model.predict(given)["noise_pred"]
    assert np.array_equal(model.predict(given | {"timestep": [981, 17]})["noise_pred"], wanted)
    assert np.array_equal(model.predict(given | {"sample": given["sample"].astype(np.float64)})["noise_pred"], wanted)
    with pytest.raises(ArrayContractError, match=r"missing timestep; it takes sample, timestep, encoder_hidden_states"):
        model.predict({name: value for name, value in given.items() if name != "timestep"})
    with pytest.raises(ArrayContractError, match=r"does not take noise"):
        model.predict(given | {"noise": given["sample"]})
    with pytest.raises(ArrayContractError, match=r"expected sample float32\[2,4,8,8\], got float32\[1,4,8,8\]"):
        model.predict(given | {"sample": given["sample"][:1]})
    with pytest.raises(ArrayContractError, match=r"timestep is <U4"):
        model.predict(given | {"timestep": ["soon", "late"]})


def test_token_ids_may_come_as_any_integers(package: Packages) -> None:
    path, _, inputs = package("text_encoder")
    ids = inputs["input_ids"].numpy()
    model = MLProgram(path)
    assert list(model.predict({"input_ids": ids})) == ["hidden", "pooled"]
    assert np.array_equal(model.predict({"input_ids": ids.astype(np.int64)})["hidden"], model.predict({"input_ids": ids})["hidden"])


def test_outputs_belong_to_the_caller(package: Packages) -> None:
    path, _, inputs = package("layers")
    model = MLProgram(path)
    first = model.predict(inputs)["out"]
    kept = first.copy()
    first[...] = 0
    assert np.array_equal(model.predict(inputs)["out"], kept)


def test_a_closed_model_says_so(package: Packages) -> None:
    path, _, inputs = package("layers")
    with MLProgram(path) as model:
        model.predict(inputs)
    model.close()
    with pytest.raises(BackendError, match=r"this model is closed"):
        model.predict(inputs)


def test_settings_are_checked(package: Packages) -> None:
    path, _, _ = package("layers")
    with pytest.raises(ConfigError, match=r"precision must be 'float32' or 'float16', got 'half'"):
        MLProgram(path, precision="half")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"function must be main, got 'other'"):
        MLProgram(path, function="other")


@pytest.mark.parametrize("form", ["ranges", "choices"])
def test_open_sizes(form: str, tmp_path: Path) -> None:
    """Transformers on the way down and up; a third in the middle would take as long to convert again."""
    module = UNet({"mid_block_type": "UNetMidBlock2D"}).eval().requires_grad_(False)
    if form == "ranges":
        shape = ct.Shape((2, 4, ct.RangeDim(4, 16, default=8), ct.RangeDim(4, 16, default=8)))
    else:
        shape = ct.EnumeratedShapes([(2, 4, 8, 8), (2, 4, 8, 12)], default=(2, 4, 8, 8))
    path = convert(module, sample_inputs(), ("noise_pred",), tmp_path, target="iOS17", shapes={"sample": shape})
    model = MLProgram(path)
    for height, width in ((8, 8), (8, 12)):
        given = dict(sample_inputs(), sample=torch.randn(2, 4, height, width))
        assert decibels(model.predict(given)["noise_pred"], _wanted(module, given)[0]) >= 100
    allowed = r"\[2,4,4..16,4..16\]" if form == "ranges" else r"\[2,4,8,8\] or \[2,4,8,12\]"
    with pytest.raises(ArrayContractError, match=rf"expected sample float32{allowed}, got float32\[2,4,8,20\]"):
        model.predict(dict(sample_inputs(), sample=torch.randn(2, 4, 8, 20)))


def test_a_package_is_described(package: Packages) -> None:
    path, _, _ = package("layers", "float16")
    found = describe(path)
    assert (found.form, found.specification, found.deployment) == ("mlpackage", 7, "iOS 16")
    assert [(item.name, item.dtype, item.shape) for item in found.inputs] == [("x", "float32", (2, 8, 6, 6))]
    assert found.functions[0].operations["conv"] == 1
    assert found.functions[0].precision == "float16"
    assert found.size_bytes > 2 * (8 * 32 * 9 + 32 * 48)
    assert "com.github.apple.coremltools.version" in found.user_defined
