"""FreeU's factors, as they are given and refused."""

from typing import Any

import pytest

from sdrt.backends import ComponentOptions
from sdrt.backends.component_options import check_component_options
from sdrt.errors import ConfigError
from sdrt.freeu import FREEU, FreeU

FACTORS = FreeU(b1=1.5, b2=1.6, s1=0.9, s2=0.2)


@pytest.mark.parametrize("value", [FACTORS, {"s1": 0.9, "s2": 0.2, "b1": 1.5, "b2": 1.6}, [1.5, 1.6, 0.9, 0.2]])
def test_factors_may_be_an_object_names_or_numbers(value: Any) -> None:
    assert FREEU.check("freeu", value) == FACTORS


@pytest.mark.parametrize("value", [1.5, "1.5", [1, 1, 1], [1, 1, 1, 0], [1, 1, 1, float("nan")], [1, 1, 1, 1e9], {"b1": 1}, {}, FreeU])
def test_other_values_are_refused_in_one_line(value: Any) -> None:
    with pytest.raises(ConfigError, match=r"^freeu must be an sdrt.FreeU, or four numbers b1, b2, s1, s2, each a finite number above 0"):
        FREEU.check("freeu", value)


def test_a_factor_that_is_none_is_named() -> None:
    with pytest.raises(ConfigError, match=r"freeu's s2 must be a finite number above 0 and at most 100, got 0; 1 changes nothing"):
        FreeU(b1=1, b2=1, s1=1, s2=0)
    with pytest.raises(ConfigError, match=r"freeu must be .*, got 3; None leaves it out"):
        ComponentOptions(freeu=3)  # type: ignore[arg-type]


def test_a_model_of_one_stage_is_refused() -> None:
    options = ComponentOptions(freeu=FACTORS)
    check_component_options("unet", {"block_out_channels": (8, 8)}, options, "mine", ("freeu",))
    with pytest.raises(ConfigError, match=r"freeu must be None for this model, whose unet has one stage where FreeU scales two"):
        check_component_options("unet", {"block_out_channels": (8,)}, options, "mine", ("freeu",))
