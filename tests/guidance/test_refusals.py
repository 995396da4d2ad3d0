"""What is no scale, no amount and no prediction is refused in one line."""

from typing import Any

import numpy as np
import pytest

from sdrt import guidance
from sdrt.errors import ArrayContractError, ConfigError

GOOD = np.ones((2, 4, 3, 3), np.float32)


@pytest.mark.parametrize("scale", ["7.5", None, [7.5], True, float("nan"), float("inf"), 1e300])
def test_a_scale_is_a_finite_number(scale: Any) -> None:
    for call in (guidance.choose_guidance, guidance.ClassifierFreeGuidance, guidance.is_guided):
        with pytest.raises(ConfigError, match="guidance_scale must be a finite number"):
            call(scale)
    with pytest.raises(ConfigError, match="guidance_scale"):
        guidance.guide(GOOD, GOOD, scale)


@pytest.mark.parametrize("amount", ["0.5", None, True, float("nan"), -0.1, 1.5])
def test_an_amount_of_rescale_is_a_share(amount: Any) -> None:
    with pytest.raises(ConfigError, match="guidance_rescale must be a finite number from 0 to 1"):
        guidance.choose_guidance(7.5, amount)
    with pytest.raises(ConfigError, match="guidance_rescale"):
        guidance.rescale(GOOD, GOOD, amount)


@pytest.mark.parametrize("size", [2, 3, 0, -1, 24.0, "24", True, 10**9])
def test_an_embedding_of_the_scale_has_a_size_that_divides_by_nothing_of_zero(size: Any) -> None:
    with pytest.raises(ConfigError, match="time_cond_proj_dim must be a whole number"):
        guidance.choose_guidance(7.5, embedding_size=size)


def test_numpy_scalars_are_numbers() -> None:
    assert guidance.choose_guidance(np.float32(7.5), np.float64(0)) == guidance.ClassifierFreeGuidance(7.5)  # type: ignore[arg-type]


@pytest.mark.parametrize("predictions", [None, [1.0], GOOD.astype(np.int32), GOOD[:1], np.float32(3)])
def test_predictions_are_floats_with_the_same_images_in_each_row(predictions: Any) -> None:
    with pytest.raises(ArrayContractError, match="predictions must be float"):
        guidance.choose_guidance(7.5)(predictions, guidance.Call(0, 1, 999.0))


def test_what_looks_at_a_call_takes_no_other_object() -> None:
    apg, bound = guidance.APG(), guidance.DynamicThresholding()
    for looking in (
        guidance.choose_guidance(7.5, apg=apg),
        guidance.choose_guidance(7.5, apg=apg, as_diffusers=True),
        guidance.choose_guidance(7.5, dynamic_thresholding=bound),
        guidance.ScheduledGuidance((guidance.ClassifierFreeGuidance(3.0),)),
    ):
        with pytest.raises(ConfigError, match=r"^call must be an object of the class Call, got 3"):
            looking(GOOD, 3)  # type: ignore[arg-type]


def test_both_predictions_have_one_shape() -> None:
    for call in (guidance.guide, guidance.rescale):
        with pytest.raises(ArrayContractError, match="of one shape"):
            call(GOOD, GOOD[:1], 0.5)
