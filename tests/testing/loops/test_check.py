"""Wrong loops are told by their mistakes, and right ones are not accused."""

from typing import Any

import numpy as np
import pytest
import torch

from sdrt.arrays import Array
from sdrt.errors import ConfigError
from sdrt.testing import check_loop
from sdrt.testing.loops.mistakes import MISTAKES
from sdrt.testing.loops.networks import LoopNetworks
from sdrt.testing.loops.reference import Loop, LoopCall
from tests.testing.loops.wrong_loops import WRONG_LOOPS, LatentsAlone, OneRowAtATime, RightLoop

EULER = {"_class_name": "EulerAncestralDiscreteScheduler"}


@pytest.mark.parametrize("wrong", WRONG_LOOPS, ids=lambda wrong: wrong.__name__)
def test_a_wrong_loop_is_told_by_its_mistake(wrong: type[RightLoop]) -> None:
    assert tuple(sorted(fault.kind for fault in check_loop(wrong()))) == WRONG_LOOPS[wrong]


@pytest.mark.parametrize("right", [RightLoop, OneRowAtATime, LatentsAlone])
def test_no_right_loop_is_accused(right: type[RightLoop]) -> None:
    assert check_loop(right()) == []


def test_each_mistake_is_another_run() -> None:
    """A mistake that changes nothing would be reported of a right loop's neighbour."""
    call = LoopCall.of(EULER, 0, 4, 7.5)
    right = Loop(call).run()
    for mistake in MISTAKES:
        run = mistake.make(call).run()
        assert run.image is not None
        assert right.image is not None
        same = len(run.samples) == len(right.samples) and all(map(np.array_equal, run.samples, right.samples))
        assert not same or not np.array_equal(run.image, right.image), mistake.texts


def test_torch_tensors_pass_through_the_networks() -> None:
    networks = LoopNetworks()
    states = networks.text_encoder(torch.zeros(2, 77, dtype=torch.int64))
    output = networks.unet(torch.zeros(2, 4, 4, 6), torch.tensor(3), states)
    assert isinstance(networks.vae_decoder(output), torch.Tensor)
    assert networks.vae_decoder(output).shape == (2, 3, 32, 48)


def test_what_raises_or_is_no_loop_is_said() -> None:
    def broken(networks: LoopNetworks, call: LoopCall) -> Any:
        raise RuntimeError("out of memory")

    assert [(fault.kind, fault.message) for fault in check_loop(broken)] == [
        ("raises", "EulerAncestralDiscreteScheduler, 4 steps, guidance 7.5, seed 0: RuntimeError: out of memory")
    ]
    with pytest.raises(ConfigError, match=r"generate must be a function of \(networks, call\), got None"):
        check_loop(None)  # type: ignore[arg-type]


def test_what_no_mistake_explains_is_said_with_its_first_step() -> None:
    class Odd(RightLoop):
        def unscaled(self, call: LoopCall, latents: Array) -> Array:
            return super().unscaled(call, latents) + np.float32(0.1)

    (fault,) = check_loop(Odd())
    assert fault.kind == "unexplained"
    assert "4 steps, guidance 7.5, seed 0: what the decoder gets is off by 0.1, where its largest value is" in fault.message
