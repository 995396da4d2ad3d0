"""The safety checker: a picture that it flags leaves by no door, and is said wherever a picture is told of; arrays stay."""

import json
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import sdrt
from sdrt.arrays import Array
from sdrt.images.png import read_text
from sdrt.pipeline.safety_checker import hide
from tests.factories import save_pipeline_folder
from tests.fake_backend import FakeBackend

QUICK: dict[str, Any] = {"seed": 93, "num_inference_steps": 2, "num_images": 3}
PROMPT = "a red circle on a blue background"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_pipeline_folder(tmp_path_factory.mktemp("model") / "sd1", safety_checker=True)


@pytest.fixture
def load(folder: Path) -> Callable[..., sdrt.Pipeline]:
    """Load a pipeline whose checker flags the pictures that are the given ones in the order in which it sees them."""

    def pipeline(flagged: tuple[bool, ...] = (), **options: Any) -> sdrt.Pipeline:
        seen: list[bool] = []

        def judge(clip_input: Array) -> dict[str, Array]:
            scores = np.full((len(clip_input), 17), -1.0, np.float32)
            for row in scores:
                row[3] = 1.0 if flagged[len(seen) % len(flagged)] else -1.0
                seen.append(True)
            return {"concept_scores": scores, "special_scores": np.full((len(clip_input), 3), -1.0, np.float32)}

        return sdrt.load(folder, FakeBackend({"safety_checker": judge}), safety_checker=bool(flagged), **options)

    return pipeline


def is_black(image: Image.Image) -> bool:
    return not np.asarray(image).any()


def test_flagged_pictures_are_black_in_results_files_and_notebooks(load: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    result, plain = load((False, True, False)).generate(PROMPT, **QUICK), load().generate(PROMPT, **QUICK)
    assert result.flagged == (False, True, False)
    assert [is_black(image) for image in result.images] == [False, True, False]
    assert result.images[2].tobytes() == plain.images[2].tobytes()
    assert result.latents.tobytes() == plain.latents.tobytes()
    assert "the picture of seed 94 is black: the safety checker flagged it" in caplog.messages
    files = result.save(tmp_path)
    assert [json.loads(read_text(file)["sdrt"])["flagged"] for file in files] == [False, True, False]
    with Image.open(files[1]) as saved:
        assert is_black(saved)
    with Image.open(BytesIO(result._repr_png_() or b"")) as sheet:
        assert is_black(sheet.crop((68, 0, 132, 64)))


def test_flagged_pictures_are_blurred_where_that_is_asked_for(load: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pipe, plain = load((False, True, False), flagged_pictures="blurred"), load().generate(PROMPT, **QUICK)
    result = pipe.generate(PROMPT, **QUICK)
    assert result.flagged == (False, True, False)
    assert [one.tobytes() == other.tobytes() for one, other in zip(result.images, plain.images, strict=True)] == [True, False, True]
    before, after = (np.asarray(each.images[1]).astype(float) for each in (plain, result))
    # the colours on the whole are left, and of what is as small as an eighth nothing
    assert np.abs(after.mean((0, 1)) - before.mean((0, 1))).max() < 8
    assert np.abs(np.diff(after, axis=1)).max() < 0.1 * np.abs(np.diff(before, axis=1)).max()
    assert "the picture of seed 94 is blurred: the safety checker flagged it" in caplog.messages
    record = json.loads(read_text(result.save(tmp_path)[1])["sdrt"])
    assert (record["flagged"], record["safety_checker"], record["flagged_pictures"]) == (True, True, "blurred")
    assert not is_black(pipe.decode(result.latents)[2])


def test_another_blur_needs_a_checker(folder: Path) -> None:
    with pytest.raises(sdrt.SdrtError, match=r"flagged_pictures='blurred' is for pipelines with a safety checker; set safety_checker=True"):
        sdrt.load(folder, flagged_pictures="blurred")


def test_stripes_do_not_survive_the_blur() -> None:
    stripes = np.zeros((256, 192, 3), np.uint8)
    stripes[np.arange(256) // 16 % 2 == 0] = 255
    [hidden] = hide([Image.fromarray(stripes)], [True], "blurred")
    rows = np.asarray(hidden)[96:160, 0, 0].astype(int)
    assert np.abs(rows[16:] - rows[:-16]).max() <= 2
    assert hidden.size == (192, 256)


def test_previews_and_decoded_steps_are_looked_at_too(load: Any, caplog: pytest.LogCaptureFixture) -> None:
    steps = load((True,)).steps(PROMPT, **QUICK)
    for step in steps:
        assert all(map(is_black, step.preview))
        assert all(map(is_black, step.decode()))
        assert is_black(step.decode(1))
        assert step.x0.any()
    assert all(map(is_black, steps.result().images))


def test_decoded_latents_are_looked_at(load: Any, caplog: pytest.LogCaptureFixture) -> None:
    pipe = load((True, False))
    latents = load().generate(PROMPT, **QUICK).latents
    assert [is_black(image) for image in pipe.decode(latents)] == [True, False, True]
    assert "picture 0 of the latents is black: the safety checker flagged it" in caplog.messages
    assert not any(map(is_black, load().decode(latents)))


def test_the_record_says_that_pictures_were_looked_at(load: Any) -> None:
    checked, unchecked = (load(flagged).generate(PROMPT, **QUICK) for flagged in ((False,), ()))
    assert (checked.settings.safety_checker, unchecked.settings.safety_checker) == (True, False)
    assert (checked.flagged, unchecked.flagged) == ((False, False, False), None)


def test_a_run_that_is_cancelled_while_the_checker_looks_gives_no_picture(folder: Path) -> None:
    steps: sdrt.Steps

    def judge(clip_input: Array) -> dict[str, Array]:
        steps.cancel()
        scores = np.full((1, 17), -1.0, np.float32)
        return {"concept_scores": scores, "special_scores": scores[:, :3]}

    steps = sdrt.load(folder, FakeBackend({"safety_checker": judge}), safety_checker=True).steps(PROMPT, **QUICK)
    result = steps.result()
    assert (result.cancelled, result.images, result.flagged) == (True, [], None)
