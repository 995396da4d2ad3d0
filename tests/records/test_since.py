"""What records of older formats cannot draw again."""

from typing import Any

import pytest

from sdrt.records.since import TOPIC, drawn_otherwise

EULER = {"_class_name": "EulerDiscreteScheduler", "timestep_spacing": "leading", "use_karras_sigmas": True}
SECOND = {"backend": {"text_encoder_2": "numpy"}}


@pytest.mark.parametrize(
    ("fields", "what"),
    [
        ({"scheduler_config": EULER}, "scheduler"),
        ({"scheduler_config": EULER | {"use_karras_sigmas": False, "use_beta_sigmas": True}}, "scheduler"),
        ({"conditions": {"image": "a", "mask_image": "b"}}, "mask_image"),
        ({"compat": "apple"}, "compat"),
        (SECOND | {"prompt": "cat", "negative_prompt": "ugly!"}, "prompt"),
        ({"backend": {"safety_checker": "numpy"}}, "safety_checker"),
    ],
)
def test_what_is_drawn_otherwise_is_told(fields: dict[str, Any], what: str) -> None:
    assert list(drawn_otherwise(fields)) == [f"{TOPIC} ({what})"]


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"scheduler_config": EULER | {"timestep_spacing": "linspace"}},
        {"scheduler_config": EULER | {"use_karras_sigmas": False}},
        {"scheduler_config": EULER | {"_class_name": "DPMSolverMultistepScheduler"}},
        {"scheduler_config": EULER, "compat": "diffusers"},
        SECOND | {"prompt": "cat!", "compat": "diffusers"},
        {"prompt": "cat!", "backend": {"text_encoder": "numpy"}},
        {"backend": {"safety_checker": "numpy"}, "safety_checker": False},
        {"scheduler_config": None, "conditions": 3, "backend": []},
    ],
)
def test_nothing_is_said_of_what_is_drawn_as_it_was(fields: dict[str, Any]) -> None:
    assert drawn_otherwise(fields) == {}
