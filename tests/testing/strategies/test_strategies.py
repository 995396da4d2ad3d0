"""What strategies draw is what it should be, and reaches the edges."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st

import sdrt
from sdrt.errors import ConfigError
from sdrt.prompt import parse
from sdrt.schedulers import class_names, sampler_from_config
from sdrt.testing import strategies
from sdrt.testing.strategies import SchedulerRun, SmallModel
from sdrt.tokenizer import ClipTokenizer

CLIP = ClipTokenizer.clip()


def reaches(strategy: st.SearchStrategy[Any], condition: Any) -> None:
    """Show that a strategy can draw something."""
    find(strategy, condition, settings=settings(max_examples=3000, database=None, phases=[Phase.generate]))


def test_prompts_reach_unicodes_corners() -> None:
    for wanted in (
        lambda text: text == "",
        lambda text: any(ord(c) > 0xFFFF for c in text),
        lambda text: "&amp;" in text,
        lambda text: any("\u4e00" <= c <= "\u9fff" for c in text),
        lambda text: any("\u0300" <= c <= "\u036f" for c in text),
        lambda text: "<|endoftext|>" in text,
    ):
        reaches(strategies.prompts(), wanted)


@given(strategies.prompts())
def test_a_prompt_can_be_encoded(text: str) -> None:
    text.encode()
    assert CLIP.encode(text)[0] == CLIP.bos_token_id


def test_long_prompts_have_several_chunks_or_none() -> None:
    reaches(strategies.long_prompts(), lambda text: len(CLIP.encode(text)) > 2 * 75)
    reaches(strategies.long_prompts(), lambda text: text == "")


def test_weighted_prompts_reach_every_sign() -> None:
    for sign in ("\\(", "BREAK", "((", "[", "<lora:"):
        reaches(strategies.weighted_prompts(), lambda text, sign=sign: sign in text)
    reaches(strategies.weighted_prompts(), lambda text: any(piece.weight not in (1.0, 1.1) for chunk in parse(text) for piece in chunk))


@given(strategies.token_ids(length=12), strategies.token_ids(vocabulary=100, length=5))
def test_rows_of_ids_begin_and_end(ids: Any, small: Any) -> None:
    assert ids.dtype == np.int32
    assert ids.shape[1:] == (12,)
    assert (ids[:, 0] == 49406).all()
    assert (ids == 49407).any(1).all()
    assert small.max() < 100


@given(strategies.latents(max_side=16, divisor=4, dtype=np.float64))
def test_latents_have_sides_that_networks_take(x: Any) -> None:
    assert x.dtype == np.float64
    assert x.shape[1] == 4
    assert all(side % 4 == 0 and 4 <= side <= 16 for side in x.shape[2:])


@given(st.data(), st.sampled_from(sdrt.rng.names()))
def test_seeds_are_those_of_a_stream(data: st.DataObject, name: str) -> None:
    sdrt.rng.stream(name, data.draw(strategies.seeds(name)))


def test_seeds_reach_beyond_32_bits() -> None:
    reaches(strategies.seeds("nv"), lambda seed: seed > 2**32)
    with pytest.raises(ConfigError, match="a noise stream must be one of"):
        strategies.seeds("dice")


@given(strategies.sizes(), strategies.pictures(), strategies.masks(20, 30))
def test_pictures_masks_and_sizes(size: tuple[int, int], picture: Any, mask: Any) -> None:
    assert all(side % 8 == 0 and 64 <= side <= 1024 for side in size)
    assert picture.dtype == mask.dtype == np.uint8
    assert picture.shape[2:] == (3,)
    assert mask.shape == (20, 30)


def test_masks_reach_both_ends() -> None:
    reaches(strategies.masks(4, 4), lambda mask: not mask.any())
    reaches(strategies.masks(4, 4), lambda mask: (mask == 255).all())
    reaches(strategies.masks(4, 4), lambda mask: 0 < mask.mean() < 255)


@settings(max_examples=5)
@given(st.data())
@pytest.mark.parametrize("class_name", class_names())
def test_every_class_has_configurations(class_name: str, data: st.DataObject) -> None:
    run = data.draw(strategies.scheduler_runs(class_name))
    assert isinstance(run, SchedulerRun)
    assert run.config["_class_name"] == class_name


@settings(max_examples=30)
@given(strategies.scheduler_configs("RestartScheduler"))
def test_configurations_that_are_declared_are_accepted(config: dict[str, Any]) -> None:
    assert sampler_from_config(config).name == "RestartScheduler"


def test_any_class_may_be_drawn_and_an_unknown_one_is_said() -> None:
    reaches(strategies.scheduler_configs(), lambda config: config["_class_name"] == "UniPCMultistepScheduler")
    with pytest.raises(ConfigError, match="class_name must be one of"):
        strategies.scheduler_runs("DDIM")


def test_a_small_model_is_written_once(tmp_path: Path) -> None:
    model = find(strategies.small_models("sd1"), lambda _: True)
    assert model == SmallModel("sd1", 0)
    folder = model.write(tmp_path)
    before = (folder / "model_index.json").stat().st_mtime_ns
    assert model.write(tmp_path) == folder
    assert (folder / "model_index.json").stat().st_mtime_ns == before
    assert sdrt.load(folder).generate("a", seed=1, num_inference_steps=1, width=64, height=64).images[0].size == (64, 64)


def test_small_models_are_of_every_family() -> None:
    reaches(strategies.small_models(), lambda model: model.family == "sdxl-refiner")
    reaches(strategies.small_models(), lambda model: model.extras == ("safety_checker",))


def test_checks_need_no_hypothesis_and_strategies_name_the_extra() -> None:
    code = """
import sys
sys.modules["hypothesis"] = None
import importlib.util
real = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name == "hypothesis" else real(name, *rest)
import sdrt.testing
assert sdrt.testing.check_stream(lambda seed, shape: sdrt.rng.stream("torch", seed).normal(shape)) == []
assert sdrt.testing.check_tokenizer(sdrt.ClipTokenizer.clip().encode, texts=["a"]) == []
sdrt.testing.check_scheduler, sdrt.testing.check_loop
try:
    import sdrt.testing.strategies
except sdrt.errors.MissingExtraError as error:
    print(error)
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout == 'sdrt.testing.strategies needs hypothesis, which is not installed; run pip install "sdrt[testing]"\n'


def test_the_package_imports_nothing_but_numpy() -> None:
    code = (
        "import sys, numpy; before = {*sys.modules}; import sdrt.testing; print(*{name.split('.')[0] for name in {*sys.modules} - before})"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert {*ran.stdout.split()} - {*sys.stdlib_module_names} <= {"sdrt"}
