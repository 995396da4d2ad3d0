"""Scales that change from step to step."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdrt.errors import ConfigError
from sdrt.exact.mathematics import EXACT
from sdrt.guidance import Call, ClassifierFreeGuidance, ScheduledGuidance, Unguided, scheduled_scales
from tests.factories import normal

SCHEDULES = ("constant", "linear", "cosine")


@pytest.mark.parametrize("schedule", SCHEDULES)
@given(st.floats(1.0, 30.0), st.integers(1, 200))
def test_the_mean_of_all_scales_is_the_guidance_scale(schedule: Any, scale: float, steps: int) -> None:
    scales = scheduled_scales(schedule, scale, steps)
    assert len(scales) == steps
    assert np.mean(scales) == pytest.approx(scale, rel=1e-12)
    assert min(scales) >= 1
    assert max(scales) <= 2 * scale - 1 + 1e-9
    assert (np.diff(scales) >= 0).all()


def test_the_curves_are_those_of_wang_et_al() -> None:
    """Table 1's "linear" 1 - t/T and "cosine" cos(pi t/T) + 1, normalised to mean 1, at t/T = 1 - s in the middle of each step."""
    t = 1 - (np.arange(8) + 0.5) / 8
    for schedule, curve in (("linear", 2 * (1 - t)), ("cosine", np.cos(np.pi * t) + 1)):
        np.testing.assert_allclose(scheduled_scales(schedule, 7.5, 8), 1 + 6.5 * curve, rtol=1e-12)  # type: ignore[arg-type]
    np.testing.assert_allclose(scheduled_scales("cosine", 7.5, 8, EXACT), scheduled_scales("cosine", 7.5, 8), rtol=1e-14)


def test_each_call_is_guided_by_its_own() -> None:
    rows = normal(1, 4, 4, 8, 8)
    each = tuple(ClassifierFreeGuidance(scale) for scale in (2.0, 3.0, 9.0))
    guidance = ScheduledGuidance(each, begins=2)
    assert guidance.rows == ("negative", "prompt")
    assert guidance.unet_inputs == {}
    for k, own in enumerate(each):
        call = Call(2 + k, 5, 999.0)
        np.testing.assert_array_equal(guidance(rows, call).output, own(rows, call).output)
    for index in (1, 5):
        with pytest.raises(ConfigError, match=rf"call\.index must be in \[2, 4\], got {index}"):
            guidance(rows, Call(index, 6, 999.0))


def test_all_have_the_same_rows() -> None:
    for guidances in ((), (Unguided(), ClassifierFreeGuidance(3.0))):
        with pytest.raises(ConfigError, match="guidances must be at least one, all with the same rows"):
            ScheduledGuidance(guidances)


@pytest.mark.parametrize("schedule", ["LINEAR", None, 1, ["linear"]])
def test_a_schedule_has_a_known_name(schedule: Any) -> None:
    with pytest.raises(ConfigError, match="guidance_schedule must be 'constant' or 'linear' or 'cosine'"):
        scheduled_scales(schedule, 7.5, 4)
    with pytest.raises(ConfigError, match="num_steps must be a whole number"):
        scheduled_scales("linear", 7.5, 0)
