"""Remarks: what was assumed or cut is recorded with each picture, logged once, and decides nothing."""

import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sdrt
from sdrt.backends.pool import NetworkPool
from sdrt.images.png import read_text
from sdrt.pipeline.remarks import RemarkLog
from sdrt.records import Settings
from tests.factories import save_pipeline_folder
from tests.fake_backend import FakeBackend

LONG = "red " * 80


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_pipeline_folder(tmp_path_factory.mktemp("model") / "sd1")


def test_each_remark_is_logged_once_at_warning(caplog: pytest.LogCaptureFixture) -> None:
    told = RemarkLog()
    with caplog.at_level(logging.DEBUG, "sdrt"):
        for remarks in ({"a": "one"}, {"a": "one", "b": "two"}, {"a": "three"}):
            told.tell(remarks)
    assert [(record.levelname, record.message) for record in caplog.records] == [
        ("WARNING", "a: one"),
        ("WARNING", "b: two"),
        ("WARNING", "a: three"),
    ]


def test_a_remark_on_what_a_file_holds_cannot_steer_a_terminal(caplog: pytest.LogCaptureFixture) -> None:
    RemarkLog().tell({"key\x1b[2J": "it has a\nb\x1b[31m"})
    assert caplog.messages == [r"key\x1b[2J: it has a\nb\x1b[31m"]


def test_what_was_cut_is_a_remark_of_the_call_that_cut_it(folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pipe = sdrt.load(folder, FakeBackend())
    caplog.clear()
    results = [pipe.generate(LONG, "blue " * 80, seed=1, num_inference_steps=1, long_prompts="truncate") for _ in range(2)]
    remarks = results[0].settings.remarks
    assert remarks == {
        "truncated prompt": "the prompt is too long: 'red red red red red' was cut off",
        "truncated negative prompt": "the negative prompt is too long: 'blue blue blue blue blue' was cut off",
    }
    assert [record.message for record in caplog.records if "too long" in record.message] == [
        f"{topic}: {text}" for topic, text in remarks.items()
    ]
    [file] = results[1].save(tmp_path)
    assert json.loads(read_text(file)["sdrt"])["remarks"] == remarks
    assert pipe.generate("red", seed=1, num_inference_steps=1).settings.remarks == {}


def test_what_opening_networks_found_is_in_results_and_files(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(
        NetworkPool, "remarks", property(lambda pool: {"unused tensors of unet": "one.weight"} if pool.is_open("unet") else {})
    )
    pipe = sdrt.load(folder, FakeBackend())
    steps = pipe.steps("red", seed=1, num_inference_steps=1)
    assert steps.settings.remarks == {}
    result = steps.result()
    assert result.settings.remarks == steps.settings.remarks == {"unused tensors of unet": "one.weight"}
    [file] = result.save(tmp_path)
    assert json.loads(read_text(file)["sdrt"])["remarks"] == result.settings.remarks
    pipe.generate("red", seed=2, num_inference_steps=1)
    assert caplog.messages == ["unused tensors of unet: one.weight"]
    assert result.settings == pipe.resolve("red", seed=1, num_inference_steps=1)


def test_foreign_syntax_and_the_files_of_a_model_are_remarked_on(folder: Path) -> None:
    pipe = sdrt.load(folder, FakeBackend())
    said = "is read as text: a prompt loads LoRAs alone, and a negative prompt none"
    assert pipe.resolve("a cat <hypernet:fur:0.8>").remarks == {"prompt extra network": f"'<hypernet:fur:0.8>' {said}"}
    assert pipe.resolve("a cat", "<lora:fur:0.8>").remarks["prompt extra network"] == f"'<lora:fur:0.8>' {said}"
    assert pipe.resolve("a cat <lora:fur:0.8>", prompt_syntax="plain").remarks == {}


def test_remarks_change_neither_equality_nor_the_options_of_a_replay(folder: Path) -> None:
    settings = sdrt.load(folder, FakeBackend()).resolve("red", seed=1)
    other = replace(settings, remarks={"assumed scheduler": "that of another model"})
    assert other == settings
    assert other.options() == settings.options()
    assert Settings.from_dict(other.to_dict()).remarks == other.remarks


def test_the_logger_has_a_handler_so_that_python_does_not_print_warnings_itself() -> None:
    assert any(isinstance(handler, logging.NullHandler) for handler in logging.getLogger("sdrt").handlers)


@pytest.mark.parametrize(
    ("options", "topic", "text"),
    [
        ({"only_masked_padding": 8}, "only_masked_padding", "only_masked is off"),
        ({"only_masked": True, "resize": "crop"}, "resize", "the part around the mask is cut out in the proportions that are drawn"),
        ({"masked_content": "noise"}, "masked_content", "a run of strength 1 starts from noise in any case"),
    ],
)
def test_options_of_masks_that_a_call_does_not_read_are_remarked_on(folder: Path, options: dict[str, Any], topic: str, text: str) -> None:
    pipe = sdrt.load(folder, FakeBackend())
    picture, mask = np.zeros((32, 48, 3), np.uint8), np.zeros((32, 48), np.uint8)
    mask[8:24, 8:24] = 255
    inputs: dict[str, Any] = {"seed": 1, "image": picture, "mask_image": mask}
    assert pipe.resolve("red", **inputs, **options).remarks == {f"ignored {topic}": text}
    assert pipe.resolve("red", **inputs, only_masked_padding=32, only_masked=False, resize="crop").remarks == {}
    assert pipe.resolve("red", **inputs, only_masked=True, only_masked_padding=8).remarks == {}
    assert pipe.resolve("red", **inputs, masked_content="noise", strength=0.5).remarks == {}
    assert pipe.resolve("red", **inputs, masked_content="noise", mask_mode="strength").remarks == {}


def test_latents_have_no_pixels_to_put_back(folder: Path) -> None:
    pipe = sdrt.load(folder, FakeBackend())
    inputs: dict[str, Any] = {
        "seed": 1,
        "image_latents": np.zeros((1, 4, 4, 4), np.float32),
        "mask_image": np.full((32, 32), 255, np.uint8),
    }
    assert pipe.resolve("red", **inputs, paste=True).remarks == {"ignored paste": "image_latents have no pixels to put back"}
    assert pipe.resolve("red", **inputs).remarks == {}
