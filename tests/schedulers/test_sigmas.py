"""The spreads of noise-to-signal ratios, against diffusers' ``_convert_to_*``, its tables and ComfyUI's rule."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from diffusers.schedulers import AysSchedules
from hypothesis import given, settings
from hypothesis import strategies as st

from sdrt.errors import ConfigError
from sdrt.schedulers.core.run import Request
from sdrt.schedulers.grids.noise_schedule import NoiseSchedule
from sdrt.schedulers.grids.ratio import RatioGrid, alpha_sigma, ratio_to_timestep, schedule_ratios, training_ratios
from sdrt.schedulers.grids.sigmas import SigmaSpacing, beta_ratios, exponential_ratios, karras_at, karras_ratios, log_linear_table
from tests.schedulers.peers import SD, peer

counts = st.integers(1, 200)
ends = st.tuples(st.floats(0.001, 0.5), st.floats(1.0, 4000.0))

EULER = peer({"_class_name": "EulerDiscreteScheduler", **SD})
DPM = peer({"_class_name": "DPMSolverMultistepScheduler", **SD, "use_lu_lambdas": True})

# Both compute in float64: np.exp, powers and the beta quantile (1e-12, absolute) differ in last bits.
CLOSE = 1e-12


@settings(max_examples=60)
@given(n=counts, range_=ends)
def test_karras_exponential_and_beta_are_diffusers(n: int, range_: tuple[float, float]) -> None:
    low, high = range_
    given_ = {"in_sigmas": torch.tensor([high, low], dtype=torch.float64), "num_inference_steps": n}
    np.testing.assert_allclose(karras_ratios(high, low, n), EULER._convert_to_karras(**given_), rtol=CLOSE)
    np.testing.assert_allclose(exponential_ratios(high, low, n), EULER._convert_to_exponential(**given_), rtol=CLOSE)
    np.testing.assert_allclose(beta_ratios(high, low, n), EULER._convert_to_beta(**given_), rtol=1e-12, atol=1e-12 * high)


@settings(max_examples=30)
@given(n=st.integers(2, 200), range_=ends)
def test_lu_is_diffusers(n: int, range_: tuple[float, float]) -> None:
    """diffusers takes the logarithms of the whole table, ascending, and lets its caller take exponentials."""
    low, high = range_
    theirs = np.exp(DPM._convert_to_lu(in_lambdas=torch.log(torch.tensor([high, low], dtype=torch.float64)), num_inference_steps=n))
    np.testing.assert_allclose(SigmaSpacing(kind="lu").spread(high, low, n), theirs, rtol=1e-11)


@settings(max_examples=60)
@given(n=counts, range_=ends, kind=st.sampled_from(["karras", "exponential", "beta", "lu"]))
def test_a_spread_falls_from_end_to_end(n: int, range_: tuple[float, float], kind: Any) -> None:
    low, high = range_
    found = SigmaSpacing(kind=kind).spread(high, low, n)
    assert found.shape == (n,)
    assert found[0] == pytest.approx(high, rel=1e-12)
    if n > 1:
        assert found[-1] == pytest.approx(low, rel=1e-9)
    assert (np.diff(found) < 0).all()


@settings(max_examples=30)
@given(n=counts, range_=ends)
def test_the_settings_own_ends_take_the_place_of_the_samplers(n: int, range_: tuple[float, float]) -> None:
    low, high = range_
    own = SigmaSpacing(kind="karras", sigma_min=low, sigma_max=high)
    np.testing.assert_array_equal(own.spread(14.0, 0.03, n), karras_ratios(high, low, n))


def test_karras_by_position_is_the_spread() -> None:
    np.testing.assert_array_equal(karras_at(np.linspace(0, 1, 9), 80.0, 0.002), karras_ratios(80.0, 0.002, 9))
    assert karras_at(np.array([0.5]), 80.0, 0.002, rho=1.0)[0] == pytest.approx((80 + 0.002) / 2)


# ---- align your steps


@pytest.mark.parametrize(("table", "theirs"), [("sd", "StableDiffusionSigmas"), ("sdxl", "StableDiffusionXLSigmas")])
def test_the_published_tables_are_diffusers(table: str, theirs: str) -> None:
    """Ten steps resample to the table itself."""
    found = SigmaSpacing(kind="ays", ays=table).spread(1.0, 0.5, 10)
    np.testing.assert_allclose([*found, 0.0], [*AysSchedules[theirs][:10], 0.0], rtol=1e-12)


def comfy(table: list[float], n: int) -> np.ndarray:
    """ComfyUI's AlignYourStepsScheduler (comfy_extras/nodes_align_your_steps.py): log-linear to n + 1 points, the last of them then 0."""
    xs, ys = np.linspace(0, 1, len(table)), np.log(table[::-1])
    resampled = np.exp(np.interp(np.linspace(0, 1, n + 1), xs, ys))[::-1].copy()
    resampled[-1] = 0
    return resampled


@settings(max_examples=60)
@given(n=counts, table=st.sampled_from(["sd", "sdxl"]))
def test_other_numbers_of_steps_follow_comfyuis_rule(n: int, table: str) -> None:
    published = {
        "sd": [14.615, 6.475, 3.861, 2.697, 1.886, 1.396, 0.963, 0.652, 0.399, 0.152, 0.029],
        "sdxl": [14.615, 6.315, 3.771, 2.181, 1.342, 0.862, 0.555, 0.380, 0.234, 0.113, 0.029],
    }[table]
    found = SigmaSpacing(kind="ays", ays=table).spread(1.0, 0.5, n)
    np.testing.assert_allclose([*found, 0.0], comfy(published, n), rtol=1e-12)


def test_a_table_is_resampled_in_its_logarithm() -> None:
    """By hand: half-way between 16 and 4 is 8."""
    np.testing.assert_allclose(log_linear_table((16.0, 4.0, 1.0), 4), [16, 8, 4, 2], rtol=1e-15)


# ---- reading and writing


@pytest.mark.parametrize("kind", ["interpolated", "karras", "exponential", "beta", "lu", "ays"])
def test_a_spacing_is_read_as_it_was_written(kind: Any) -> None:
    spacing = SigmaSpacing(kind=kind, sigma_min=0.03, sigma_max=14.0, ays="sdxl" if kind == "ays" else "sd")
    assert SigmaSpacing.read(spacing.config()) == spacing
    assert [key for key, value in spacing.config().items() if value and key.startswith("use_")] == (
        [] if kind == "interpolated" else [f"use_{'lu_lambdas' if kind == 'lu' else kind + '_sigmas'}"]
    )


def test_two_spacings_at_once_are_refused() -> None:
    with pytest.raises(
        ConfigError, match="one way to spread sigmas must be set at most, got use_karras_sigmas, use_lu_lambdas; choose one"
    ):
        SigmaSpacing.read({"use_karras_sigmas": True, "use_lu_lambdas": True})


def test_a_table_that_there_is_not_is_refused() -> None:
    with pytest.raises(ConfigError, match="its table sd or sdxl, got 'ays' and 'svd'; choose among them"):
        SigmaSpacing(kind="ays", ays="svd")


# ---- ratios and timesteps


@settings(max_examples=60)
@given(timesteps=st.lists(st.floats(0, 999), min_size=1, max_size=20))
def test_ratios_of_timesteps_and_back(timesteps: list[float]) -> None:
    """One is linear in the ratio and the other in its logarithm, as in diffusers: they agree at whole timesteps, and nearly between."""
    training = training_ratios(NoiseSchedule(**SD).alpha_bar("float64"), np.float64)
    whole, every = np.round(timesteps), np.arange(len(training))
    np.testing.assert_allclose(ratio_to_timestep(np.interp(whole, every, training), training), whole, atol=1e-9)
    # Between timesteps 0 and 1 the ratio grows by a third: the two means are furthest apart there.
    np.testing.assert_allclose(ratio_to_timestep(np.interp(timesteps, every, training), training), timesteps, atol=0.05)


@settings(max_examples=30)
@given(ratios=st.lists(st.floats(0.001, 200), min_size=1, max_size=20))
def test_timesteps_of_ratios_are_diffusers(ratios: list[float]) -> None:
    """Beyond the trained ratios they stay at the ends."""
    training = training_ratios(NoiseSchedule(**SD).alpha_bar("float64"), np.float64)
    found = ratio_to_timestep(np.array(ratios), training)
    np.testing.assert_allclose(found, [float(EULER._sigma_to_t(np.array(r), np.log(training))) for r in ratios], atol=1e-9)
    assert (found >= 0).all()
    assert (found <= 999).all()


@settings(max_examples=30)
@given(ratios=st.lists(st.floats(0, 5000), min_size=1, max_size=20))
def test_scales_of_ratios(ratios: list[float]) -> None:
    alpha, sigma = alpha_sigma(np.array(ratios))
    np.testing.assert_allclose(alpha**2 + sigma**2, 1, rtol=1e-14)
    np.testing.assert_allclose(sigma / alpha, ratios, rtol=1e-14)


def test_the_final_ratio_and_its_type() -> None:
    training = schedule_ratios(RatioGrid().schedule, "float32")
    for final, last in (("zero", 0.0), ("sigma_min", training[0])):
        found = RatioGrid(final_sigma=final).levels(Request(n=2)).ratios  # type: ignore[arg-type]
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, np.array([training[999], training[0], last], np.float32))


def test_a_schedule_that_ends_without_signal_has_no_ratios() -> None:
    blind = NoiseSchedule(**SD, rescale_betas_zero_snr=True).alpha_bar()
    with pytest.raises(ConfigError, match="ratios of noise to signal need a last alpha_bar above 0; set terminal_alpha_bar"):
        training_ratios(blind, np.float32)
    assert math.isfinite(training_ratios(NoiseSchedule(**SD).alpha_bar(), np.float32)[-1])
