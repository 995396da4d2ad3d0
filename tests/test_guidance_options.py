"""The settings of guidance methods, as they are given and refused."""

from typing import Any

import pytest

from sdrt.errors import ConfigError
from sdrt.guidance_options import APG, APG_KIND, DYNAMIC_THRESHOLDING_KIND, DynamicThresholding


@pytest.mark.parametrize("value", [APG(eta=0.2, momentum=0), {"eta": 0.2, "momentum": 0}, [0.2, 15, 0], (0.2, 15.0, 0.0)])
def test_settings_may_be_an_object_names_or_all_numbers(value: Any) -> None:
    assert APG_KIND.check("apg", value) == APG(eta=0.2, norm_threshold=15.0, momentum=0.0)


def test_names_that_are_left_out_have_their_defaults() -> None:
    assert APG_KIND.check("apg", {}) == APG()
    assert DYNAMIC_THRESHOLDING_KIND.check("dynamic_thresholding", {"mimic_scale": 5}) == DynamicThresholding(mimic_scale=5)


@pytest.mark.parametrize(
    "value", [True, 0, "0 15 -0.5", [0, 15], [0, 15, "x"], {"scale": 1}, APG, DynamicThresholding(), [float("nan")] * 3]
)
def test_other_values_are_refused_in_one_line(value: Any) -> None:
    with pytest.raises(ConfigError, match=r"^apg must be an sdrt\.APG, or its numbers eta, norm_threshold, momentum, got "):
        APG_KIND.check("apg", value)


def test_a_number_out_of_range_is_named() -> None:
    with pytest.raises(ConfigError, match=r"^apg's momentum must be a finite number from -1 to 1, got 2"):
        APG_KIND.check("apg", [0, 15, 2])
    with pytest.raises(ConfigError, match=r"^dynamic_thresholding's percentile must be a finite number from 0 to 1, got 99"):
        DYNAMIC_THRESHOLDING_KIND.check("dynamic_thresholding", {"percentile": 99})
