"""Weights: coremltools' own loader and decompression, for plain weights and for each compression."""

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from coremltools.optimize import coreml as cto

from sdrt.backends.coreml import MLProgram, describe
from sdrt.backends.coreml.constants import Constants, KeptArrays
from sdrt.models.mlpackage.package import open_package
from tests.backends.coreml.peer import computed, ct

Packages = Callable[..., tuple[Path, torch.nn.Module, dict[str, torch.Tensor]]]


def _palette(**how: Any) -> Any:
    return cto.OptimizationConfig(global_config=cto.OpPalettizerConfig(weight_threshold=100, **how))


def _linear(**how: Any) -> Any:
    return cto.OptimizationConfig(global_config=cto.OpLinearQuantizerConfig(weight_threshold=100, **how))


_PRUNED = cto.OptimizationConfig(global_config=cto.OpMagnitudePrunerConfig(target_sparsity=0.6, weight_threshold=100))
# name, oldest system, steps
COMPRESSIONS: tuple[tuple[str, str, tuple[Callable[[Any], Any], ...]], ...] = (
    *(
        (f"palette {bits}", "iOS16", (lambda m, bits=bits: cto.palettize_weights(m, _palette(mode="uniform", nbits=bits)),))
        for bits in (1, 2, 4, 6, 8)
    ),
    ("kmeans", "iOS16", (lambda m: cto.palettize_weights(m, _palette(mode="kmeans", nbits=4)),)),
    ("palette 3", "iOS18", (lambda m: cto.palettize_weights(m, _palette(mode="uniform", nbits=3)),)),
    (
        "grouped palette",
        "iOS18",
        (lambda m: cto.palettize_weights(m, _palette(mode="uniform", nbits=4, granularity="per_grouped_channel", group_size=8)),),
    ),
    ("vector palette", "iOS18", (lambda m: cto.palettize_weights(m, _palette(mode="kmeans", nbits=4, cluster_dim=2)),)),
    ("int8", "iOS16", (lambda m: cto.linear_quantize_weights(m, _linear(mode="linear_symmetric")),)),
    ("uint8", "iOS16", (lambda m: cto.linear_quantize_weights(m, _linear(mode="linear", dtype="uint8")),)),
    ("int4 blocks", "iOS18", (lambda m: cto.linear_quantize_weights(m, _linear(dtype="int4", granularity="per_block", block_size=8)),)),
    ("uint4", "iOS18", (lambda m: cto.linear_quantize_weights(m, _linear(mode="linear", dtype="uint4", granularity="per_channel")),)),
    ("sparse", "iOS16", (lambda m: cto.prune_weights(m, _PRUNED),)),
    ("sparse 18", "iOS18", (lambda m: cto.prune_weights(m, _PRUNED),)),
    (
        "sparse palette",
        "iOS18",
        (
            lambda m: cto.prune_weights(m, _PRUNED),
            lambda m: cto.palettize_weights(m, _palette(mode="uniform", nbits=4), joint_compression=True),
        ),
    ),
    (
        "sparse int8",
        "iOS18",
        (
            lambda m: cto.prune_weights(m, _PRUNED),
            lambda m: cto.linear_quantize_weights(m, _linear(mode="linear_symmetric"), joint_compression=True),
        ),
    ),
)


def _weights(path: Path) -> Iterator[tuple[str, str, np.ndarray]]:
    """Every constant of floats with more than one axis: name, what made it, numbers."""
    found = open_package(path)
    assert found.model.program is not None
    block = found.model.program.functions["main"].block
    constants = Constants("main", block, found.blobs, KeptArrays(None))
    used = {name for operation in block.operations if operation.type in ("conv", "linear") for name in operation.names()}
    for operation in block.operations:
        for output in operation.outputs:
            if output.name in used and output.name in constants and constants.get(output.name).ndim > 1:
                yield output.name, operation.type, constants.get(output.name)


@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_plain_weights_are_those_that_coremltools_loads(package: Packages, precision: str) -> None:
    path, _, _ = package("layers", precision)
    model = ct.models.MLModel(str(path), skip_model_load=True)
    spec = model.get_spec()
    program = ct.converters.mil.frontend.milproto.load.load(spec, spec.specificationVersion, model.weights_dir)
    theirs = {
        op.outputs[0].name: op.val.val for op in program.functions["main"].find_ops(op_type="const") if getattr(op.val.val, "ndim", 0) > 1
    }
    compared = 0
    for name, _, ours in _weights(path):
        assert np.array_equal(ours, theirs[name].astype(np.float32))
        compared += 1
    assert compared == 2


@pytest.mark.parametrize(("name", "target", "steps"), COMPRESSIONS, ids=[row[0] for row in COMPRESSIONS])
def test_compressed_weights_are_those_that_coremltools_decompresses(
    package: Packages, tmp_path: Path, name: str, target: str, steps: tuple[Callable[[Any], Any], ...]
) -> None:
    path, _, inputs = package("layers", "float16", target)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = ct.models.MLModel(str(path), skip_model_load=True)
        for step in steps:
            model = step(model)
        model.save(str(tmp_path / "small.mlpackage"))
        cto.decompress_weights(model).save(str(tmp_path / "plain.mlpackage"))
    small = list(_weights(tmp_path / "small.mlpackage"))
    assert len(small) == 2
    assert all(kind.startswith("constexpr_") for _, kind, _ in small)
    assert sum(describe(tmp_path / "small.mlpackage").functions[0].compression.values()) >= 2
    plain = [numbers for _, _, numbers in _weights(tmp_path / "plain.mlpackage")]
    for (_, kind, ours), theirs in zip(small, plain, strict=True):
        # coremltools scales in float16, which rounds twice: two steps of 2**-11
        bound = 0.0 if "lut" in kind or name.startswith("sparse 18") or name == "sparse" else 2**-10
        assert np.abs(ours - theirs).max() <= bound * np.abs(theirs).max(), kind
    assert MLProgram(tmp_path / "small.mlpackage").predict(inputs)["out"].shape == (2, 48)


def test_quantisation_while_running() -> None:
    x, scale = np.array([[-1.3, 0.26, 0.24], [9.0, 0.25, -99]], np.float32), np.array([0.5, 0.1], np.float32)
    whole = computed("quantize", {"input": x, "scale": scale, "output_dtype": "int8", "axis": 0})
    assert whole.tolist() == [[-3, 1, 0], [90, 2, -128]]
    back = computed("dequantize", {"input": whole, "scale": scale, "zero_point": np.array([1, 0], np.int8), "axis": 0})
    assert np.allclose(back, [[-2.0, 0.0, -0.5], [9.0, 0.2, -12.8]])
    assert computed("constexpr_cast", {"source_val": x.astype(np.float16), "output_dtype": "fp32"}).dtype == np.float32
