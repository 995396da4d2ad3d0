"""Each method of guidance does what its paper says, on the embedded model: `python -m benchmarks.guidance` measures more of it."""

from functools import cache
from typing import Any

import numpy as np
import pytest

import sdrt
from benchmarks.guidance import measure

APG: dict[str, Any] = {"apg": sdrt.APG(norm_threshold=0.5)}
BOUND: dict[str, Any] = {"dynamic_thresholding": sdrt.DynamicThresholding(mimic_scale=3.0)}


@cache
def pipeline() -> sdrt.Pipeline:
    return sdrt.load("nano", threads=1)


def deviation(**options: Any) -> float:
    """Of the last latents of a short run, which is not decoded."""
    *_, last = pipeline().steps("a red circle on a blue background", seed=93, num_inference_steps=5, **options)
    return float(last.latents.std())


def test_apg_and_dynamic_thresholding_keep_a_strong_scale_from_saturating() -> None:
    weak, strong = deviation(guidance_scale=3.0), deviation(guidance_scale=15.0)
    assert strong > 1.5 * weak
    for options in (APG, BOUND):
        assert deviation(guidance_scale=15.0, **options) < weak + (strong - weak) / 2
    assert deviation(guidance_scale=15.0, **APG) == pytest.approx(weak, rel=0.15)


@pytest.mark.slow
def test_an_interval_saves_rows_and_costs_no_picture() -> None:
    whole, part = (measure(pipeline(), options, 8) for options in ({}, {"guidance_end": 0.5}))
    assert (whole["rows"], part["rows"]) == (24, 18)
    assert part["right"] >= whole["right"] - 12.5  # one picture of eight


@pytest.mark.slow
def test_at_a_strong_scale_colours_are_right_with_apg() -> None:
    plain, projected, bounded = (measure(pipeline(), {"guidance_scale": 8.0} | options, 8) for options in ({}, APG, BOUND))
    assert plain["colours"] <= 50
    assert projected["right"] >= 87.5
    assert bounded["colours"] > plain["colours"]
    assert np.argsort([projected["deviation"], bounded["deviation"], plain["deviation"]]).tolist() == [0, 1, 2]


@pytest.mark.slow
@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_schedules_draw_what_the_constant_scale_draws(schedule: str) -> None:
    assert measure(pipeline(), {"guidance_schedule": schedule}, 8)["right"] >= 87.5
