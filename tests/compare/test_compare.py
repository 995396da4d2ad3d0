"""Comparisons: what is equal, what departs where, what cannot be compared; JSON and page."""

import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sdrt
from sdrt.arrays import Array
from sdrt.backends import Backend
from sdrt.compare import Comparison, Recording, compare, record
from sdrt.compare import layers as by_layer
from sdrt.compare.free_running import compare_pixels
from sdrt.compare.sides import open_sides
from sdrt.compare.tolerances import Tolerances
from sdrt.errors import ConfigError, RecordingError
from sdrt.pipeline.pipeline import Pipeline
from sdrt.recordings import RecordingWriter
from tests.compare import planted
from tests.compare.schema import check_schema
from tests.factories import save_pipeline_folder
from tests.pictures import psnr

SCHEMA = Path(sdrt.__file__).parent.parent / "docs" / "comparison.schema.json"
CALL: dict[str, Any] = {"seed": 7, "num_inference_steps": 3, "height": 64, "width": 64, "scheduler": "euler_ancestral"}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, torch_pipe: Pipeline) -> Path:
    """A recording of torch's run."""
    path = tmp_path_factory.mktemp("runs") / "run.sdrt"
    with record(path, torch_pipe):
        torch_pipe.generate("a red circle", **CALL)
    return path


@pytest.mark.parametrize("more", [{}, {"teacher_forced": True}, {"layers": True}, {"truth": True}], ids=str)
def test_equal_runs_are_equal(pipe: Pipeline, more: dict[str, Any]) -> None:
    found = compare(pipe, pipe, "a red circle", **CALL, **more)
    assert found.equal
    assert found.first_departure is None
    assert found.psnr == math.inf
    assert all(row.latents.equal for row in found.steps)
    assert all(row.difference.equal for row in found.networks)
    assert all(row.nearer == "both" for row in found.truth)
    assert len(found.steps) == 3
    assert str(found).splitlines()[3] == "equal: the same numbers at each step"
    assert repr(found) == "Comparison('tiny on numpy', 'tiny on numpy': equal: the same numbers at each step)"


def test_figures_of_a_run_are_those_of_its_arrays(pipe: Pipeline, torch_pipe: Pipeline) -> None:
    found = compare(pipe, torch_pipe, "a red circle", **CALL)
    ours, theirs = (each.generate("a red circle", **CALL) for each in (pipe, torch_pipe))
    last = found.steps[-1].latents
    assert last.max == np.abs(ours.latents.astype(np.float64) - theirs.latents).max()
    assert last.mean == pytest.approx(np.abs(ours.latents.astype(np.float64) - theirs.latents).mean())
    assert found.pixels[0].psnr == pytest.approx(psnr(theirs.images[0], ours.images[0]))
    assert [row.component for row in found.networks] == ["text_encoder", "unet", "unet", "unet", "vae_decoder"]
    assert not any(row.forced for row in found.networks)
    assert [row.name for row in found.inputs if "step" in row.name] == ["noise of step 0", "noise of step 1", "noise of step 2"]
    assert all(row.error == 0 for row in found.inputs)
    assert found.a.precision == found.b.precision == "float32"
    assert np.array_equal(found.pictures[0][1], np.asarray(theirs.images[0]))


def test_errors_from_the_same_inputs_do_not_add_up(pipe: Pipeline, torch_pipe: Pipeline) -> None:
    """A mistake of the second step alone: runs part from there on, forced calls only there; and float64 says who is right."""
    with planted.plant(torch_pipe, "unet", "time_proj", planted.late):
        free = compare(pipe, torch_pipe, "a red circle", **{**CALL, "num_inference_steps": 4}, truth=True)
        forced = compare(pipe, torch_pipe, "a red circle", **{**CALL, "num_inference_steps": 4}, teacher_forced=True)
    wrong = [row.step for row in forced.networks if row.component == "unet" and row.difference.relative > 1e-4]
    assert forced.first_departure is not None
    assert (forced.first_departure.component, forced.first_departure.step) == ("unet", wrong[0])
    assert all(row.difference.equal for row in forced.networks if row.component == "scheduler")
    assert [row.component for row in forced.networks] == ["text_encoder", *["unet", "scheduler"] * 4, "vae_decoder"]
    assert free.first_departure is not None
    assert (free.first_departure.component, free.first_departure.step) == ("unet", wrong[0])
    latents = [row for row in free.truth if row.component == "latents"]
    assert {row.nearer for row in latents if row.step in wrong} == {"a"}
    assert {row.component for row in free.truth} == {"text_encoder", "unet", "vae_decoder", "latents", "pixels"}


def test_another_scheduler_is_found_at_its_step(folder: Path, pipe: Pipeline, tmp_path: Path) -> None:
    """Models whose schedulers differ in one key: the networks agree, the first step does not."""
    other = save_pipeline_folder(tmp_path / "tiny")
    file = other / "scheduler" / "scheduler_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "beta_end": 0.0121}))
    call = {name: value for name, value in CALL.items() if name != "scheduler"}
    with sdrt.load(other, "numpy") as second:
        found = compare(pipe, second, "a red circle", **call, teacher_forced=True).first_departure
    assert found is not None
    assert (found.component, found.step) == ("scheduler", 0)
    assert folder != other


def test_other_texts_and_seeds_are_told_from_networks(pipe: Pipeline, tmp_path: Path) -> None:
    for name, prompt, seed in (("a", "a red circle", 7), ("b", "a blue circle", 7), ("c", "a red circle", 8)):
        with record(tmp_path / f"{name}.sdrt", pipe):
            pipe.generate(prompt, **{**CALL, "seed": seed})
    text = compare(tmp_path / "a.sdrt", tmp_path / "b.sdrt")
    noise = compare(Recording.open(tmp_path / "a.sdrt"), tmp_path / "c.sdrt")
    same = compare(tmp_path / "a.sdrt", tmp_path / "a.sdrt")
    assert text.first_departure is not None
    assert (text.first_departure.component, text.first_departure.step) == ("tokens", None)
    assert noise.first_departure is not None
    assert noise.first_departure.component == "noise"
    assert same.equal
    assert same.a.recorded


def test_a_recording_without_settings_is_compared_from_a_prompt(run: Path, pipe: Pipeline, tmp_path: Path) -> None:
    """As other programs write them."""
    source = Recording.open(run)
    with RecordingWriter(tmp_path / "other.sdrt", {}) as writer:
        for event in source.events():
            values = {name: value for name, value in event.values.items() if name != "settings"}
            writer.add(event.kind, 0, source.arrays(event), values, step=event.step, component=event.component)
    with pytest.raises(ConfigError, match="prompt must be given where neither side is a recording with settings"):
        compare(tmp_path / "other.sdrt", pipe)
    found = compare(tmp_path / "other.sdrt", pipe, "a red circle", **CALL, teacher_forced=True)
    assert found.first_departure is None
    assert found.a.backend == "unknown"
    assert all(row.error == 0 for row in found.inputs)


def test_values_that_another_program_wrote_wrongly_break_nothing(run: Path, pipe: Pipeline, tmp_path: Path) -> None:
    source = Recording.open(run)
    with RecordingWriter(tmp_path / "other.sdrt", {"backends": {"unet": ["numpy"]}}) as writer:
        for event in source.events():
            values = dict(event.values) | ({"timestep": {"a": 1}} if event.kind == "step" else {})
            writer.add(event.kind, 0, source.arrays(event), values, step=event.step, component=event.component)
    found = compare(tmp_path / "other.sdrt", pipe)
    assert found.a.backend == "['numpy']"
    assert math.isnan(found.steps[0].timestep)
    assert json.dumps(found.to_json(), allow_nan=False)


def test_a_backend_beside_a_recording_of_another_model_asks_for_it(tmp_path: Path) -> None:
    save_pipeline_folder(tmp_path / "other", "sd1")
    with record(tmp_path / "run.sdrt", sdrt.load(tmp_path / "other")) as recorded:
        recorded.generate("a", seed=1, num_inference_steps=1, height=64, width=64)
    with pytest.raises(ConfigError, match="a recording of 'other', must be given the model"):
        compare(tmp_path / "run.sdrt", "numpy")
    assert compare(tmp_path / "run.sdrt", "numpy", model=tmp_path / "other").equal


@pytest.mark.parametrize("first", [True, False])
def test_a_recording_is_compared_with_a_model(run: Path, pipe: Pipeline, first: bool) -> None:
    """The model makes the recording's call, and its calls from the recorded inputs, on whichever side it is."""
    sides: tuple[Any, Any] = (run, pipe) if first else (pipe, run)
    found = compare(*sides, teacher_forced=True)
    assert found.first_departure is None
    assert not found.equal
    assert [row.component for row in found.networks] == ["text_encoder", *["unet", "scheduler"] * 3, "vae_decoder"]
    assert 0 < max(row.difference.relative for row in found.networks) < 1e-4


def test_layers_are_found_group_by_group(pipe: Pipeline, torch_pipe: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where not all inner values fit into memory, blocks are looked into one after the other; the same module is named."""
    monkeypatch.setattr(by_layer, "_BUDGET", 2**20)
    place = "up_blocks.1.attentions.1.transformer_blocks.0.attn2.to_v"
    with planted.plant(torch_pipe, "unet", place, planted.all_weights):
        found = compare(pipe, torch_pipe, "a red circle", **{**CALL, "num_inference_steps": 1}, layers=True)
    assert found.first_departure is not None
    assert (found.first_departure.component, found.first_departure.layer, found.first_departure.step) == ("unet", place, 0)
    assert not any(row.departs for row in found.layers if row.component != "unet")


@pytest.fixture(scope="module")
def found(pipe: Pipeline, torch_pipe: Pipeline) -> Comparison:
    with planted.plant(torch_pipe, "unet", "conv_out", planted.all_weights):
        return compare(pipe, torch_pipe, "a <red> circle", **CALL, layers=True, truth=True)


class TestJson:
    def test_it_is_what_the_schema_says(self, found: Comparison, pipe: Pipeline) -> None:
        schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
        for each in (found, compare(pipe, pipe, "a red circle", **CALL)):
            record = json.loads(json.dumps(each.to_json(), allow_nan=False))
            check_schema(schema, record, schema)
        wrong = found.to_json() | {"equal": "no"}
        with pytest.raises(AssertionError):
            check_schema(schema, wrong, schema)

    def test_the_departure_is_in_it(self, found: Comparison) -> None:
        departure = found.to_json()["first_departure"]
        assert departure["component"] == "unet"
        assert departure["step"] == 0
        assert departure["layer"] == "conv_out"
        assert departure["error"] == pytest.approx(0.01, rel=0.3)

    def test_the_page_is_whole_and_needs_no_network(self, found: Comparison, tmp_path: Path) -> None:
        text = found.to_html(tmp_path / "page.html").read_text(encoding="utf-8")
        assert [file.name for file in tmp_path.iterdir()] == ["page.html"]
        addresses = re.findall(r"""(?:src|href|url)\s*[=(]\s*["']?([^"' >)]{5})""", text)
        assert addresses == ["data:"] * 3
        assert "http" not in text
        assert "a &lt;red&gt; circle" in text
        assert "<red>" not in text
        assert "they part at unet, conv_out, step 0" in text
        assert text.count("<svg") == text.count("</svg>") >= 5
        assert "nan" not in re.sub('data:[^"]*', "", text).lower()
        with pytest.raises(ConfigError, match="cannot be written"):
            found.to_html(tmp_path / "missing" / "page.html")

    def test_the_table_names_everything(self, found: Comparison) -> None:
        text = str(found)
        for line in ("they part at unet, conv_out, step 0", "each going its own way:", "out of line", "against numpy in float64:"):
            assert line in text
        assert max(map(len, text.splitlines())) < 150


class TestRefusals:
    def test_of_calls(self, pipe: Pipeline, run: Path) -> None:
        with pytest.raises(ConfigError, match="prompt must be given where neither side is a recording with settings"):
            compare(pipe, pipe, seed=1)
        with pytest.raises(ConfigError, match="seed must be given, so that both sides draw from the same"):
            compare(pipe, pipe, "a red circle")
        with pytest.raises(ConfigError, match=r"both sides must make the call of run\.sdrt, got a prompt, seed or options too"):
            compare(run, pipe, "a red circle", seed=7)
        with pytest.raises(ConfigError, match="network_tolerance must be"):
            compare(pipe, pipe, "a red circle", seed=1, network_tolerance=-1)
        with pytest.raises(ConfigError, match="unknown option sede"):
            compare(pipe, pipe, "a red circle", seed=1, sede=3)

    def test_of_sides(self, pipe: Pipeline, run: Path) -> None:
        wrong: Any = 3
        with pytest.raises(ConfigError, match="a side must be a pipeline, a recording, a model or a backend, got a int"):
            compare(pipe, wrong, "a red circle", seed=1)
        with pytest.raises(ConfigError, match="one side must have networks to make the other's calls again, got two recordings"):
            compare(run, run, teacher_forced=True)
        with pytest.raises(ConfigError, match=r"layers must be compared between two sides with networks, got the recording run\.sdrt"):
            compare(run, pipe, layers=True)
        with pytest.raises(ConfigError, match=r"run\.sdrt: is open already, got backend too"):
            open_sides(run, pipe, None, ({"backend": "torch"}, {}))
        with pytest.raises(ConfigError, match="a side must have one backend, got 'numpy' and 'torch'"):
            open_sides("numpy", pipe, None, ({"backend": "torch"}, {}))

    def test_of_runs_that_do_not_fit(self, pipe: Pipeline, run: Path, tmp_path: Path) -> None:
        with record(tmp_path / "other.sdrt", pipe):
            pipe.generate("a red circle", **{**CALL, "num_inference_steps": 2})
        with pytest.raises(ConfigError, match="both sides must make as many steps, got 3 and 2"):
            compare(run, tmp_path / "other.sdrt")
        with record(tmp_path / "large.sdrt", pipe):
            pipe.generate("a red circle", **{**CALL, "height": 128})
        with pytest.raises(ConfigError, match="both sides must draw latents of one shape, got 1x4x8x8 and 1x4x16x8"):
            compare(run, tmp_path / "large.sdrt")

    def test_of_recordings_that_hold_too_little(self, pipe: Pipeline, tmp_path: Path) -> None:
        keeps: tuple[Any, ...] = ("outputs", "hashes")
        for keep in keeps:
            with record(tmp_path / f"{keep}.sdrt", pipe, keep=keep):
                pipe.generate("a red circle", **CALL)
        assert compare(tmp_path / "outputs.sdrt", pipe).equal
        with pytest.raises(
            ConfigError, match=r"outputs\.sdrt: must hold the inputs of its networks to be compared call by call, got keep='outputs'"
        ):
            compare(tmp_path / "outputs.sdrt", pipe, teacher_forced=True)
        with pytest.raises(ConfigError, match=r"hashes\.sdrt: must hold arrays to be compared, got keep='hashes'"):
            compare(tmp_path / "hashes.sdrt", pipe)
        with record(tmp_path / "left.sdrt", pipe):
            steps = pipe.steps("a red circle", **CALL)
            next(steps)
            steps.close()
        with pytest.raises(RecordingError, match=r"left\.sdrt: must hold a run that finished to be compared, got one that is cancelled"):
            compare(tmp_path / "left.sdrt", tmp_path / "outputs.sdrt")

    def test_of_other_families(self, pipe: Pipeline, tmp_path: Path) -> None:
        with sdrt.load(save_pipeline_folder(tmp_path / "tiny2", "sd2"), "numpy") as other, pytest.raises(ConfigError, match="one family"):
            compare(pipe, other, "a red circle", **CALL, teacher_forced=True)


def test_names_of_backends_run_the_other_sides_model(folder: Path) -> None:
    first, second = open_sides(folder, "torch", None)
    assert second.pipe is not None
    assert first.pipe is not None
    assert second.pipe.model.path == first.pipe.model.path
    assert set(second.pipe.backends.values()) == {"torch"}
    backend: Backend = sdrt.backends.registry.get("numpy")
    third, _ = open_sides(backend, "numpy", None)
    assert third.pipe is not None
    assert third.pipe.model.name == "nano"


def test_pictures_are_held_against_the_deepest_colour() -> None:
    """A PSNR of pictures has 255 as its peak, however dark they are."""
    dark = np.full((4, 4, 3), 10, np.uint8)
    (row,) = compare_pixels(((dark, dark + np.uint8(2)),))
    assert row.psnr == pytest.approx(psnr(dark, dark + np.uint8(2)))
    assert (row.max, row.mean, row.different) == (2, 2.0, 1.0)


def test_tolerances_follow_the_less_precise_side() -> None:
    both = Tolerances.of("float64", "bfloat16")
    assert both == Tolerances.of("bfloat16", "float64") == Tolerances.of("bfloat16", "bfloat16")
    assert both.network > Tolerances.of("float32", "float64").network == Tolerances.of("float32", "float32").network
    assert Tolerances.of("float32", "float32", network=0.5).network == 0.5
    halved = Tolerances.of("float32", "float32", "float16")
    assert halved.layer == Tolerances.of("float32", "float32").layer
    assert halved.network == Tolerances.of("float16", "float32").network


def test_the_record_is_frozen(pipe: Pipeline) -> None:
    found = compare(pipe, pipe, "a red circle", **{**CALL, "num_inference_steps": 1})
    with pytest.raises(AttributeError):
        found.equal = False  # type: ignore[misc]
    value: Array = found.pictures[0][0]
    assert value.dtype == np.uint8
