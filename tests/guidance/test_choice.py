"""Which guidance a run has, and that each keeps the protocol."""

import numpy as np
import pytest

from sdrt.guidance import (
    APG,
    Call,
    CFGPlusPlusGuidance,
    ClassifierFreeGuidance,
    DiffusersProjectedGuidance,
    DynamicThresholding,
    EmbeddedGuidance,
    Guidance,
    ProjectedGuidance,
    RescaledGuidance,
    ScheduledGuidance,
    ThresholdedGuidance,
    Unguided,
    choose_guidance,
    split_rows,
)
from tests.factories import normal


def test_the_guidance_of_each_kind_of_run() -> None:
    cfg = ClassifierFreeGuidance(7.5)
    assert choose_guidance(7.5) == cfg
    assert choose_guidance(1.0) == choose_guidance(0.0, 0.7) == Unguided()
    assert choose_guidance(7.5, 0.7) == RescaledGuidance(cfg, 0.7)
    assert choose_guidance(7.5, needs_unconditional=True) == CFGPlusPlusGuidance(cfg)
    assert choose_guidance(7.5, 0.7, needs_unconditional=True) == CFGPlusPlusGuidance(RescaledGuidance(cfg, 0.7))
    assert choose_guidance(8.0, 0.7, embedding_size=24, needs_unconditional=True) == EmbeddedGuidance(8.0, 24)


def test_each_method_stands_at_its_place_around_the_others() -> None:
    apg, bound = APG(momentum=-0.1), DynamicThresholding(mimic_scale=5.0)
    assert choose_guidance(15.0, apg=apg) == ProjectedGuidance(15.0, apg)
    assert choose_guidance(15.0, apg=apg, as_diffusers=True) == DiffusersProjectedGuidance(15.0, apg)
    thresholded = ThresholdedGuidance(ClassifierFreeGuidance(15.0), bound)
    assert choose_guidance(15.0, dynamic_thresholding=bound, as_diffusers=True) == thresholded
    assert choose_guidance(1.0, apg=apg, dynamic_thresholding=bound) == Unguided()
    whole = choose_guidance(15.0, 0.7, apg=apg, dynamic_thresholding=bound, needs_unconditional=True)
    assert whole == CFGPlusPlusGuidance(RescaledGuidance(ThresholdedGuidance(ProjectedGuidance(15.0, apg), bound), 0.7))


def test_cfg_plus_plus_is_guided_at_every_scale() -> None:
    assert choose_guidance(0.6, needs_unconditional=True) == CFGPlusPlusGuidance(ClassifierFreeGuidance(0.6))


@pytest.mark.parametrize(
    "guidance",
    [
        Unguided(),
        EmbeddedGuidance(3.0, 8),
        ClassifierFreeGuidance(3.0),
        RescaledGuidance(ClassifierFreeGuidance(3.0), 0.5),
        CFGPlusPlusGuidance(ClassifierFreeGuidance(0.5)),
        ProjectedGuidance(9.0, APG()),
        DiffusersProjectedGuidance(9.0, APG()),
        ThresholdedGuidance(ClassifierFreeGuidance(9.0), DynamicThresholding()),
        ScheduledGuidance((ClassifierFreeGuidance(9.0),)),
    ],
    ids=lambda guidance: type(guidance).__name__,
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_many_rows_become_one_prediction_an_image(guidance: Guidance, dtype: str) -> None:
    predictions = normal(0, 3 * len(guidance.rows), 4, 5, 6, dtype=dtype)
    guided = guidance(predictions, Call(0, 1, 999.0, normal(1, 3, 4, 5, 6), (1.25, -0.75)))
    assert guided.output.shape == (3, 4, 5, 6)
    assert guided.output.dtype == np.dtype(dtype)
    assert "prompt" in guidance.rows
    assert all(len(value) == 1 for value in guidance.unet_inputs.values())


def test_rows_are_split_in_the_order_in_which_a_guidance_names_them() -> None:
    batch = np.arange(6.0)
    assert {row: part.tolist() for row, part in split_rows(batch, ("prompt", "negative")).items()} == {
        "prompt": [0.0, 1.0, 2.0],
        "negative": [3.0, 4.0, 5.0],
    }
