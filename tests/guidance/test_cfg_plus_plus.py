"""CFG++: both predictions reach the sampler."""

import numpy as np

from sdrt.guidance import Call, CFGPlusPlusGuidance, ClassifierFreeGuidance
from tests.factories import normal

CALL = Call(0, 4, 999.0)


def test_the_prediction_without_the_prompt_is_handed_on_untouched() -> None:
    rows = normal(0, 6, 4, 5, 5)
    plain = ClassifierFreeGuidance(0.6)
    guided = CFGPlusPlusGuidance(plain)(rows, CALL)
    np.testing.assert_array_equal(guided.output, plain(rows, CALL).output)
    assert guided.unconditional is not None
    np.testing.assert_array_equal(guided.unconditional, rows[:3])
