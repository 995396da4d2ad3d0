"""Prompts that are combined before they guide: the papers' formula, and what other guidances are given."""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdrt.errors import ConfigError
from sdrt.guidance import (
    Call,
    CFGPlusPlusGuidance,
    ClassifierFreeGuidance,
    ComposedPrompt,
    EmbeddedGuidance,
    Guided,
    RescaledGuidance,
    Unguided,
    compose,
    prompt_row,
)

CALL = Call(0, 10, 500.0)
WEIGHTS = st.floats(-3, 3).map(lambda weight: round(weight, 3))


def predictions(rows: int, images: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).standard_normal((rows * images, 4, 6, 5))


@given(st.lists(WEIGHTS, min_size=2, max_size=4), st.floats(1.5, 10), st.integers(1, 3))
def test_parts_are_guided_as_liu_et_al_write(weights: list[float], scale: float, images: int) -> None:
    parts = ComposedPrompt(tuple(map(prompt_row, range(len(weights)))), tuple((weight,) for weight in weights))
    guidance = compose(ClassifierFreeGuidance(scale), [parts])
    assert guidance.rows == ("negative", "prompt", *(f"prompt {k}" for k in range(2, len(weights) + 1)))
    given = predictions(len(guidance.rows), images)
    negative, *prompts = given.reshape(len(guidance.rows), images, 4, 6, 5)
    want = negative + scale * sum(weight * (prompt - negative) for weight, prompt in zip(weights, prompts, strict=True))
    np.testing.assert_allclose(guidance(given, CALL).output, want, atol=1e-12 * np.abs(want).max())


def test_each_image_has_weights_of_its_own() -> None:
    guidance = compose(ClassifierFreeGuidance(4.0), [ComposedPrompt(("prompt", "prompt 2"), ((1.0, 1.0), (0.5, 0.0)))])
    given = predictions(3, 2)
    negative, one, two = given.reshape(3, 2, 4, 6, 5)
    output = guidance(given, CALL).output
    np.testing.assert_allclose(output[1], negative[1] + 4 * (one[1] - negative[1]), atol=1e-12)
    np.testing.assert_allclose(output[0], negative[0] + 4 * (one[0] + 0.5 * two[0] - 1.5 * negative[0]), atol=1e-12)


def test_without_guidance_parts_still_stand_apart_from_the_negative_prompt() -> None:
    guidance = compose(Unguided(), [ComposedPrompt(("prompt", "prompt 2"), ((1.0,), (1.0,)))])
    assert guidance.rows == ("prompt", "negative", "prompt 2")
    one, negative, two = given = predictions(3, 1)
    np.testing.assert_allclose(guidance(given, CALL).output[0], one + two - negative, atol=1e-12)


def test_prompts_share_each_latent() -> None:
    share = np.random.default_rng(1).uniform(size=(1, 1, 6, 5)).astype(np.float32)
    prompts = [ComposedPrompt((prompt_row(k),), ((1.0,),)) for k in range(2)]
    guidance = compose(ClassifierFreeGuidance(3.0), prompts, np.stack([1 - share, share]))
    negative, one, two = given = predictions(3, 1)
    mixed = (1 - share[0]) * one + share[0] * two
    np.testing.assert_allclose(guidance(given, CALL).output[0], negative + 3 * (mixed - negative), atol=1e-6)
    # no negative prompt is needed for that
    assert compose(Unguided(), prompts, np.stack([1 - share, share])).rows == ("prompt", "prompt 2")
    embedded = compose(EmbeddedGuidance(8.5, 256), prompts, np.stack([1 - share, share]))
    assert embedded.unet_inputs.keys() == {"timestep_cond"}
    np.testing.assert_allclose(embedded(given[1:], CALL).output[0], mixed, atol=1e-6)


class Perturbed:
    """A guidance that also asks for a perturbed prediction, and keeps what it was given."""

    rows = ("negative", "prompt", "perturbed")
    unet_inputs: ClassVar[Mapping[str, Any]] = {}
    given: Any = None

    def __call__(self, predictions: Any, _call: Call, /) -> Guided:
        self.given = predictions
        return Guided(predictions[1:2])


def test_what_a_perturbation_changed_is_kept() -> None:
    inner = Perturbed()
    guidance = compose(inner, [ComposedPrompt(("prompt", "prompt 2"), ((1.0,), (0.7,)))])
    assert guidance.rows == ("negative", "prompt", "perturbed", "prompt 2")
    given = predictions(4, 1)
    guidance(given, CALL)
    negative, one, perturbed, two = given
    combined = negative + (one - negative) + 0.7 * (two - negative)
    np.testing.assert_allclose(inner.given, [negative, combined, combined + perturbed - one], atol=1e-12)


def test_other_guidances_see_the_prompt_that_all_parts_make() -> None:
    parts = [ComposedPrompt(("prompt", "prompt 2"), ((1.0,), (1.0,)))]
    given = predictions(3, 2)
    negative, one, two = given.reshape(3, 2, 4, 6, 5)
    plain = np.concatenate([negative, one + two - negative])
    for inner in (RescaledGuidance(ClassifierFreeGuidance(5.0), 0.7), CFGPlusPlusGuidance(ClassifierFreeGuidance(0.7))):
        want, got = inner(plain, CALL), compose(inner, parts)(given, CALL)
        np.testing.assert_allclose(got.output, want.output, atol=1e-12 * np.abs(want.output).max())
        assert (got.unconditional is None) == (want.unconditional is None)


def test_one_prompt_of_one_part_is_guided_as_ever() -> None:
    inner = ClassifierFreeGuidance(5.0)
    assert compose(inner, [ComposedPrompt(("prompt",), ((1.0,),))]) is inner


def test_parts_need_a_negative_prompt() -> None:
    with pytest.raises(ConfigError, match="AND must stand in prompts of models with a negative prompt"):
        compose(EmbeddedGuidance(8.5, 256), [ComposedPrompt(("prompt", "prompt 2"), ((1.0,), (1.0,)))])
