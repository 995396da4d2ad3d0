"""The weights of a ControlNet's residuals are those of diffusers' guess mode and of sd-webui-controlnet's control modes."""

import numpy as np
import pytest
import torch

from sdrt.pipeline.conditions.control_weights import CONTROL_MODES, control_weights


@pytest.mark.parametrize("count", [1, 5, 10, 13])
def test_guess_mode_weighs_as_diffusers(count: int) -> None:
    weights = control_weights("balanced", guess=True, pools=False)
    np.testing.assert_allclose(weights.by_depth(count), torch.logspace(-1, 0, count), rtol=1e-6)
    assert (weights.acts_on("prompt"), weights.acts_on("negative")) == (True, False)
    # "if guess_mode and not self.config.global_pool_conditions"
    assert control_weights("balanced", guess=True, pools=True).by_depth(count) == (1.0,) * count


def test_soft_weights_are_those_of_the_web_ui() -> None:
    """``[0.825 ** float(12 - i) for i in range(13)]`` for Stable Diffusion 1.x and 2.x."""
    for name in ("prompt", "control"):
        assert CONTROL_MODES[name].by_depth(13) == tuple(0.825 ** float(12 - i) for i in range(13))
    assert CONTROL_MODES["balanced"].by_depth(13) == (1.0,) * 13


def test_who_acts_on_the_row_without_the_prompt() -> None:
    assert {name: mode.acts_on("negative") for name, mode in CONTROL_MODES.items()} == {"balanced": True, "prompt": True, "control": False}
    # a mean over the picture leads the prompt alone, in both programs
    assert not any(control_weights(name, guess=False, pools=True).acts_on("negative") for name in CONTROL_MODES)
