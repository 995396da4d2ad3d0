"""What a caller asks of a plan: what is understood, and what is refused in which words."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdrt.errors import ConfigError
from sdrt.schedulers import sampler_from_config
from sdrt.schedulers.core.run import Request
from tests.schedulers.peers import SD


def asked(n: int | None = None, timesteps: Any = None, sigmas: Any = None, mu: float | None = None, include_final: bool = True) -> Request:
    return Request.of(n, timesteps, sigmas, mu, include_final)


@settings(max_examples=40)
@given(numbers=st.lists(st.floats(0, 1000), min_size=2, max_size=20), include_final=st.booleans())
def test_lists_say_how_many_steps_there_are(numbers: list[float], include_final: bool) -> None:
    n = len(numbers)
    assert asked(n) == Request(n=n)
    assert asked(timesteps=numbers) == asked(n, timesteps=numbers) == Request(n=n, timesteps=tuple(numbers))
    assert asked(sigmas=numbers, include_final=include_final) == Request(n=n - include_final, sigmas=tuple(numbers))
    # Arrays and generators are lists too, and the numbers come out as floats.
    assert asked(timesteps=np.array(numbers)) == asked(timesteps=iter(numbers)) == asked(timesteps=numbers)
    assert {type(t) for t in asked(timesteps=np.array(numbers, np.float32)).timesteps or ()} == {float}


def test_an_exponent_comes_along() -> None:
    assert asked(4, mu=0.7).mu == 0.7


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({}, "num_inference_steps, timesteps or sigmas must be set, got none of them; pass one"),
        ({"mu": 1.0}, "num_inference_steps, timesteps or sigmas must be set, got none of them; pass one"),
        ({"n": 3, "timesteps": [9, 5]}, r"must agree, got \[2, 3\] steps; pass one of them"),
        ({"timesteps": [9, 5], "sigmas": [3, 2]}, r"must agree, got \[2, 1\] steps; pass one of them"),
        ({"timesteps": []}, r"timesteps must be a list of at least 1 whose entries are each a finite number of at least 0, got \[\]"),
        ({"timesteps": [9, -1]}, r"timesteps must be a list .* of at least 0, got \[9, -1\]; correct them"),
        ({"sigmas": [9, float("nan")]}, r"sigmas must be a list .* a finite number .*, got \[9, nan\]"),
        ({"sigmas": [float("inf"), 0]}, r"sigmas must be a list .* a finite number .*, got \[inf, 0\]"),
        ({"timesteps": [*range(200, 0, -1), -1]}, r"got \[200, 199, 198, .* 1, -1\]"),
        *(
            ({"timesteps": other}, "timesteps must be a list")
            for other in (5, "5", ["5"], [None], [[1, 2]], np.ones((2, 2)), {"a": 1}, True)
        ),
        *(({"n": other}, "num_inference_steps must be a whole number, or null, got") for other in ("5", 2.5, [5], True, np.ones(2))),
        *(({"n": 3, "mu": other}, "mu must be a finite number, or null, got") for other in ("1", float("nan"), [1])),
    ],
)
def test_what_does_not_say_how_many_steps_is_refused(request_: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        asked(**request_)


@pytest.mark.parametrize(
    ("class_name", "stops", "message"),
    [
        (
            "DDIMScheduler",
            {"sigmas": [1.0, 0.0]},
            "a run of DDIMScheduler must be laid out by num_inference_steps or timesteps, got sigmas",
        ),
        (
            "DDIMScheduler",
            {"num_inference_steps": 4, "mu": 1.0},
            "a run of DDIMScheduler must be laid out by num_inference_steps or timesteps, got mu",
        ),
        (
            "EDMEulerScheduler",
            {"timesteps": [3, 2], "mu": 1.0},
            "a run of EDMEulerScheduler must be laid out by num_inference_steps or sigmas, got timesteps, mu",
        ),
        ("DDIMScheduler", {"timesteps": [5, 9]}, r"timesteps must lie in \[0, 999\] and never rise, got 5 to 9, rising; sort them"),
        ("DDIMScheduler", {"timesteps": [1000, 9]}, r"timesteps must lie in \[0, 999\] and never rise, got 9 to 1000; sort them"),
        ("EulerDiscreteScheduler", {"sigmas": [4.0]}, r"num_inference_steps must be in \[1, 1000\], got 0"),
    ],
)
def test_stops_that_a_sampler_cannot_visit_are_refused(class_name: str, stops: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        sampler_from_config({"_class_name": class_name, **SD}).plan(**stops)
