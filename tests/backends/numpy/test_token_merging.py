"""Token merging against the reference implementation's vectors and a plain rewrite of its matching."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sdrt.arrays import Array, Numerics
from sdrt.backends import BackendOptions, ComponentOptions, TraceableNetwork, registry
from sdrt.backends.component_options import check_component_options
from sdrt.backends.numpy.team import ThreadTeam
from sdrt.backends.numpy.token_merging import match, places
from sdrt.backends.torch.token_merging import match as match_in_torch
from sdrt.errors import ConfigError
from sdrt.models import open_model
from sdrt.models.components.self_attentions import finest_self_attentions
from tests.backends.numpy.reference import BOUNDS, denoiser_inputs, open_network, relative_error
from tests.factories import Form, normal

SIDES = st.integers(2, 9)
RATIOS = st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.75])
FINEST: dict[Form, set[str]] = {
    "sd1": {"down_blocks.0", "up_blocks.3"},
    "sdxl": {"down_blocks.1", "up_blocks.1"},
}


def written_out(x: Array, values: Array, height: int, width: int, ratio: float) -> Array:
    """Merge and unmerge in loops over Python numbers, as the paper says it."""
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    cells = [(r, c) for r in range(0, height // 2 * 2, 2) for c in range(0, width // 2 * 2, 2)]
    destinations = [r * width + c for r, c in cells]
    edges = []
    for source in sorted(set(range(height * width)) - set(destinations)):
        similarities = [float(unit[source] @ unit[destination]) for destination in destinations]
        best = max(similarities)
        edges.append((best, source, destinations[similarities.index(best)]))
    edges.sort(key=lambda edge: -edge[0])
    out, members = values.copy(), {destination: [destination] for destination in destinations}
    for _, source, destination in edges[: int(height * width * ratio)]:
        members[destination].append(source)
    for group in members.values():
        out[group] = values[group].mean(axis=0)
    return out


@settings(max_examples=25, deadline=None)
@given(height=SIDES, width=SIDES, ratio=RATIOS, seed=st.integers(0, 99))
def test_pixels_are_merged_as_the_paper_says(height: int, width: int, ratio: float, seed: int) -> None:
    x, values = normal(seed, height * width, 6, dtype="float64"), normal(seed + 1, height * width, 3, dtype="float64")
    matching = match(ThreadTeam(2), x, (height, width), ratio)
    wanted = written_out(x, values, height, width, ratio)
    tokens = matching.merge(values)
    assert len(tokens) == height * width - len(matching.merged)
    np.testing.assert_allclose(matching.unmerge(tokens), wanted, atol=1e-12)
    in_torch = match_in_torch(torch.from_numpy(x)[None], (height, width), ratio)
    np.testing.assert_array_equal(in_torch.merged[0], matching.merged)
    np.testing.assert_array_equal(in_torch.into[0], matching.into)
    np.testing.assert_allclose(in_torch.unmerge(in_torch.merge(torch.from_numpy(values)[None]))[0], wanted, atol=1e-12)


# tomesd 0.1.3, bipartite_soft_matching_random2d(metric, w=5, h=4, sx=2, sy=2, r=10, no_rand=True) of normal(3, 1, 20, 6): unmerge(merge(x))
# of the numbers 0 to 19.
REFERENCE = [6.5, 11.0, 10.4, 3.0, 4.0, 5.0, 10.4, 9.333333, 8.0, 9.333333, 11.0, 10.4, 9.333333, 6.5, 10.4, 11.0, 16.0, 17.0, 11.0, 10.4]


def test_pixels_are_merged_as_the_reference_does() -> None:
    matching = match(ThreadTeam(1), normal(3, 1, 20, 6)[0], (4, 5), 0.5)
    numbers = np.arange(20, dtype=np.float32)[:, None]
    np.testing.assert_allclose(matching.unmerge(matching.merge(numbers))[:, 0], REFERENCE, rtol=1e-6)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_pixels_that_are_all_alike_are_merged_in_their_order(value: float) -> None:
    """Ties: the first destination takes the first sources; zeros have no direction, and are no NaN."""
    x = np.full((16, 3), value, np.float32)
    matching = match(ThreadTeam(1), x, (4, 4), 0.5)
    sources, _ = places(4, 4)
    np.testing.assert_array_equal(matching.merged, sources[:8])
    np.testing.assert_array_equal(matching.into, 0)
    np.testing.assert_allclose(matching.unmerge(matching.merge(x)), x)
    in_torch = match_in_torch(torch.from_numpy(x)[None], (4, 4), 0.5)
    np.testing.assert_array_equal(in_torch.merged[0], matching.merged)
    np.testing.assert_array_equal(in_torch.into[0], 0)


def merged(folder: Path, backend: str, ratio: float, numerics: Numerics = "float32", **options: Any) -> Any:
    own = BackendOptions(numerics=numerics, **options)
    return registry.get(backend).open("unet", open_model(folder), own, ComponentOptions(token_merging=ratio))


@pytest.mark.parametrize(
    ("form", "numerics"),
    [
        ("sd1", "float64"),
        ("sdxl", "float32"),
        pytest.param("sd1", "float32", marks=pytest.mark.slow),
        pytest.param("sdxl", "float64", marks=pytest.mark.slow),
    ],
)
def test_numpy_and_torch_merge_alike(folders: dict[Form, Path], form: Form, numerics: Numerics) -> None:
    inputs = denoiser_inputs(form, 2, 15, 10, numerics)
    plain = open_network(folders[form], "unet", numerics)(**inputs)["noise_pred"]
    for ratio in (0.25, 0.75):
        ours, theirs = (merged(folders[form], backend, ratio, numerics)(**inputs)["noise_pred"] for backend in ("numpy", "torch"))
        assert relative_error(plain, ours) > 0.03
        assert relative_error(ours, theirs) < BOUNDS[numerics]


def test_exact_results_do_not_depend_on_threads_or_on_the_rest_of_the_batch(folders: dict[Form, Path]) -> None:
    inputs = denoiser_inputs("sd1", 2, 12, 10)
    found = []
    for threads in (1, 3):
        network = merged(folders["sd1"], "numpy", 0.5, "exact", threads=threads)
        found.append(network(**inputs)["noise_pred"])
        np.testing.assert_array_equal(found[-1][1:], network(**{name: x[1:] for name, x in inputs.items()})["noise_pred"])
    np.testing.assert_array_equal(found[0], found[1])
    assert relative_error(found[0], merged(folders["sd1"], "numpy", 0.5)(**inputs)["noise_pred"]) < BOUNDS["float32"]


@pytest.mark.parametrize("form", FINEST)
def test_it_acts_where_the_most_pixels_are_attended_to(folders: dict[Form, Path], form: Form) -> None:
    """As ``max_downsample=1`` of the reference for Stable Diffusion 1.x; XL has no attention there, and merges one level deeper."""
    paths = finest_self_attentions(open_model(folders[form]).config("unet"))
    assert {".".join(path.split(".")[:2]) for path in paths} == FINEST[form]


@pytest.mark.parametrize("backend", ["numpy", "torch"])
def test_its_inner_values_have_the_names_of_the_plain_network(folders: dict[Form, Path], backend: str) -> None:
    network, plain = (merged(folders["sd1"], backend, ratio) for ratio in (0.5, 0.0))
    assert isinstance(network, TraceableNetwork)
    path = finest_self_attentions(open_model(folders["sd1"]).config("unet"))[0]
    assert set(network.trace_names) == set(plain.trace_names)
    inputs: Any = denoiser_inputs("sd1", 1, 8, 8)
    names = [f"{path}.to_q", path.removesuffix(".attn1"), path.partition(".transformer")[0]]
    values = network.trace(names, **inputs)
    assert values[names[0]].shape[1] == 32  # of 64 pixels
    assert values[names[1]].shape[1] == 64
    np.testing.assert_array_equal(network(**inputs)["noise_pred"].shape, plain(**inputs)["noise_pred"].shape)


@pytest.mark.parametrize("backend", ["numpy", "torch"])
def test_pictures_of_one_row_have_no_cell_to_merge(folders: dict[Form, Path], backend: str) -> None:
    inputs: Any = denoiser_inputs("sd1", 1, 1, 8)
    found, plain = (merged(folders["sd1"], backend, ratio)(**inputs)["noise_pred"] for ratio in (0.5, 0.0))
    assert relative_error(found, plain) < 1e-5


@pytest.mark.parametrize("ratio", [1.0, 0.76, -0.1, float("nan"), float("inf"), "0.5", True])
def test_ratios_that_are_none_are_refused(ratio: Any) -> None:
    with pytest.raises(ConfigError, match=r"^token_merging must be a finite number from 0 to 0.75, got .*; 0 merges none"):
        ComponentOptions(token_merging=ratio)


def test_a_model_without_self_attention_is_refused(folders: dict[Form, Path]) -> None:
    config = dict(open_model(folders["sd1"]).config("unet")) | {"only_cross_attention": True, "mid_block_type": None}
    with pytest.raises(ConfigError, match=r"^token_merging must be 0 for this model, whose unet has no self-attention; leave it out"):
        check_component_options("unet", config, ComponentOptions(token_merging=0.5), "mine", ("token_merging",))
