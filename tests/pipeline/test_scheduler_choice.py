"""The scheduler of a call: names, configurations and objects, and what is recorded of it."""

import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import diffusers
import numpy as np
import pytest

import sdrt
from sdrt import schedulers
from sdrt.errors import ConfigError, SdrtError
from sdrt.schedulers import Euler
from tests.fake_backend import FakeBackend

CALL: dict[str, Any] = {"seed": 93, "num_inference_steps": 3, "height": 64, "width": 64}


def settings(pipe: sdrt.Pipeline, scheduler: Any, **options: Any) -> sdrt.Settings:
    return pipe.resolve("a red circle", scheduler=scheduler, **CALL, **options)


def test_one_sampler_is_recorded_under_one_name_however_it_was_chosen(pipe: sdrt.Pipeline) -> None:
    config = {**pipe.model.scheduler_config, "_class_name": "DPMSolverMultistepScheduler", "use_karras_sigmas": True}
    sampler = schedulers.sampler_from_config(config)
    ways = ["dpm++ 2m karras", "DPM++ 2M Karras", "dpmpp_2m_karras", config, dict(sampler.config), sampler, schedulers.from_config(config)]
    records = [settings(pipe, way) for way in ways]
    assert {record.scheduler for record in records} == {"dpm++ 2m karras"}
    assert all(record == records[0] for record in records)
    own = pipe.model.scheduler_config
    assert settings(pipe, None) == settings(pipe, own) == settings(pipe, own["_class_name"])


@pytest.mark.parametrize("name", ["EulerDiscreteScheduler", "DPMSolverMultistepScheduler", "DDIMScheduler", "UniPCMultistepScheduler"])
def test_a_scheduler_object_of_diffusers_is_read_from_its_configuration(pipe: sdrt.Pipeline, name: str) -> None:
    model = {key: value for key, value in pipe.model.scheduler_config.items() if not key.startswith("_")}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = getattr(diffusers, name).from_config(model)
        theirs.set_timesteps(7)
    drawn, expected = (pipe.generate("a red circle", scheduler=way, **CALL) for way in (theirs, name))
    np.testing.assert_array_equal(drawn.latents, expected.latents)
    assert drawn.settings.scheduler == expected.settings.scheduler
    assert "scheduler object" in drawn.settings.remarks


def test_diffusers_classes_that_sdrt_lacks_are_refused_by_name(pipe: sdrt.Pipeline) -> None:
    with pytest.raises(ConfigError, match=r"_class_name must be one of .*, got 'RePaintScheduler'; choose"):
        settings(pipe, diffusers.RePaintScheduler())


class _OtherSteps(diffusers.EulerDiscreteScheduler):  # type: ignore[misc]
    """A class of a caller's own, whose steps no configuration says."""


class _OwnSteps:
    config: Mapping[str, Any] = {"_class_name": "DDIMScheduler"}

    def set_timesteps(self, count: int) -> None:
        raise AssertionError

    def step(self, *inputs: Any) -> None:
        raise AssertionError


@pytest.mark.parametrize(
    "scheduler",
    [3, 1.5, b"euler", ["euler"], object(), SimpleNamespace(step=print, timesteps=[1]), Euler, int, _OtherSteps(), _OwnSteps()],
)
def test_other_objects_are_refused_in_words(pipe: sdrt.Pipeline, scheduler: Any) -> None:
    with pytest.raises(
        ConfigError, match=r"scheduler must be a name, a configuration, or an object of sdrt.schedulers or of diffusers, got"
    ):
        settings(pipe, scheduler)


@dataclass(frozen=True, kw_only=True)
class Nearer(Euler):
    """A sampler of a caller's own."""


def test_a_sampler_of_ones_own_is_recorded_as_itself(pipe: sdrt.Pipeline) -> None:
    sampler = Nearer(grid=schedulers.sampler_from_name("euler", pipe.model.scheduler_config).grid)  # type: ignore[arg-type]
    result = pipe.generate("a red circle", scheduler=sampler.with_options(s_churn=1.0), **CALL)
    record = sdrt.Settings.from_dict(json.loads(json.dumps(result.settings.to_dict(), allow_nan=False)))
    assert (record.scheduler, record.scheduler_config["_class_name"]) == ("Nearer", "Nearer")
    assert record.scheduler_options["s_churn"] == 1.0
    with pytest.raises(
        ConfigError, match="scheduler Nearer is a class that sdrt does not have, so the record cannot build it; pass an object"
    ):
        pipe.generate(**record.options())
    again = pipe.generate(**{**record.options(), "scheduler": sampler.with_options(s_churn=1.0)})
    np.testing.assert_array_equal(again.latents, result.latents)
    with pytest.raises(ConfigError, match="compat must be None for Nearer, a sampler class that is not sdrt's own"):
        settings(pipe, sampler, compat="diffusers")


def with_config(folder: Path, target: Path, **changes: Any) -> sdrt.Pipeline:
    """Load a copy of the model whose scheduler_config.json has these keys too."""
    target.mkdir()
    for file in folder.iterdir():
        if file.name != "scheduler":
            (target / file.name).symlink_to(file)
    config = json.loads((folder / "scheduler" / "scheduler_config.json").read_text(encoding="utf-8"))
    (target / "scheduler").mkdir()
    (target / "scheduler" / "scheduler_config.json").write_text(json.dumps({**config, **changes}), encoding="utf-8")
    return sdrt.load(target, FakeBackend())


def test_an_unknown_key_in_a_models_file_is_a_remark(folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    newer = with_config(folder, tmp_path / "newer", use_time_travel=True)
    record = settings(newer, None)
    assert "use_time_travel" in record.remarks["scheduler key"]
    assert "use_time_travel" in caplog.text
    assert "use_time_travel" in settings(newer, "euler").remarks["scheduler key"]
    plain = sdrt.load(folder, FakeBackend())
    np.testing.assert_array_equal(newer.generate("a", **CALL).latents, plain.generate("a", **CALL).latents)


def test_an_unknown_key_of_a_callers_mapping_is_an_error_unless_it_comes_from_a_file(pipe: sdrt.Pipeline) -> None:
    own = {"_class_name": "DDIMScheduler", "use_time_travel": True}
    with pytest.raises(ConfigError, match=r"keys of DDIMScheduler must be among .*, got 'use_time_travel'; leave that out"):
        settings(pipe, own)
    record = settings(pipe, {**own, "_diffusers_version": "0.99.0"})
    assert "use_time_travel" in record.remarks["scheduler key"]


def test_predict_epsilon_is_read_as_diffusers_did(folder: Path, tmp_path: Path) -> None:
    old = with_config(folder, tmp_path / "old", _class_name="DDIMScheduler", predict_epsilon=False)
    record = settings(old, None)
    assert record.scheduler_config["prediction_type"] == "sample"
    assert "predict_epsilon" in record.remarks["assumed prediction_type"]


@pytest.mark.parametrize("recorded", [3, [], {"options": 3}, {"options": {"numerics": "float16"}}, {"options": {"s_churn": "x"}}])
def test_a_damaged_record_of_a_scheduler_is_refused(pipe: sdrt.Pipeline, recorded: Any) -> None:
    with pytest.raises(SdrtError):
        settings(pipe, {"_class_name": "EulerDiscreteScheduler", "_sdrt": recorded})


def test_a_raised_limit_of_timesteps_holds_for_a_configuration_of_the_call(folder: Path) -> None:
    many = {"_class_name": "DDIMScheduler", "num_train_timesteps": 150_000, "beta_start": 1e-7, "beta_end": 1e-6}
    with sdrt.load(folder, FakeBackend(), limits=sdrt.Limits(train_timesteps=150_000)) as pipe:
        assert settings(pipe, many).scheduler_config["num_train_timesteps"] == 150_000


def test_steps_and_timesteps_have_limits(folder: Path) -> None:
    few = sdrt.load(folder, FakeBackend(), limits=sdrt.Limits(steps=5, train_timesteps=1000))
    with pytest.raises(ConfigError, match="num_inference_steps must be at most 5, got 6"):
        few.generate("a", num_inference_steps=6)
    with pytest.raises(ConfigError, match="num_train_timesteps of DDIMScheduler must be at most 1000, got 1001"):
        few.generate("a", scheduler={"_class_name": "DDIMScheduler", "num_train_timesteps": 1001})
