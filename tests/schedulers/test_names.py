"""Names of samplers: the spellings of other programs, and the one name that is recorded."""

from typing import Any

import pytest

from sdrt.schedulers import class_names, make, name_of, names, sampler_from_config, sampler_from_name
from tests.schedulers.peers import SD

MODEL: dict[str, Any] = {"_class_name": "PNDMScheduler", **SD, "skip_prk_steps": True, "steps_offset": 1}
XL: dict[str, Any] = {"_class_name": "EulerDiscreteScheduler", **SD, "timestep_spacing": "leading", "steps_offset": 1}


@pytest.mark.parametrize("class_name", class_names())
def test_a_class_name_may_lack_its_last_word(class_name: str) -> None:
    """Apple's pipeline writes EulerAncestralDiscrete."""
    named = sampler_from_name(class_name, MODEL)
    assert named.config["_class_name"] == class_name
    assert sampler_from_name(class_name.removesuffix("Scheduler"), MODEL) == named
    assert sampler_from_name(class_name.lower(), MODEL) == named


def test_apples_swift_names() -> None:
    assert sampler_from_name("dpmpp", MODEL) == sampler_from_name("DPMSolverMultistepScheduler", MODEL)
    assert make("dpmpp karras").config["use_karras_sigmas"] is True


@pytest.mark.parametrize("model", [MODEL, XL], ids=["PNDM", "XL"])
@pytest.mark.parametrize("row", names(), ids=lambda row: row.name)
def test_a_sampler_has_one_name_which_leads_back_to_it(row: Any, model: dict[str, Any]) -> None:
    sampler = sampler_from_name(row.name, model)
    name = name_of(sampler, model)
    assert sampler_from_name(name, model) == sampler
    assert name_of(sampler_from_config(sampler.config), model) == name


@pytest.mark.parametrize(
    ("spellings", "name"),
    [
        (["dpm++ 2m karras", "DPM++ 2M Karras", "dpmpp_2m_karras", "DPMSolverMultistepScheduler karras"], "dpm++ 2m karras"),
        (["euler a", "Euler a", "EulerAncestralDiscrete", "euler_ancestral"], "euler a"),
        (["heun ays sdxl", "Heun AYS SDXL"], "heun ays sdxl"),
        (["euler a karras", "EULER_A_KARRAS"], "euler a karras"),
        (["euler sgm uniform", "Euler SGM_Uniform"], "euler sgm uniform"),
        (["ddim trailing", "ddim sgm uniform"], "ddim trailing"),
        (["plms", "pndm", "PNDMScheduler"], "plms"),
        (["unipc", "uni_pc_bh2"], "unipc bh2"),
    ],
)
def test_spellings_of_one_sampler_have_one_name(spellings: list[str], name: str) -> None:
    assert {name_of(sampler_from_name(spelling, MODEL), MODEL) for spelling in spellings} == {name}


def test_settings_that_no_row_has_are_named_by_their_class() -> None:
    noise = sampler_from_config({"_class_name": "SASolverScheduler", "algorithm_type": "noise_prediction"})
    assert name_of(noise, MODEL) == "SASolverScheduler"
