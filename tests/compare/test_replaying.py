"""A recorded run is drawn again from its file, and its networks are played from it."""

import gc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

import sdrt
from sdrt.compare import Recording, record, replay
from sdrt.compare.replaying import replay_options
from sdrt.errors import ConfigError, RecordingError
from sdrt.pipeline.pipeline import Pipeline
from sdrt.pipeline.results import Result
from sdrt.recordings.played_model import PlayedModel
from tests.factories import save_controlnet_folder, save_pipeline_folder, save_refiner_folder
from tests.fake_backend import FakeBackend
from tests.peers import mask, picture

QUICK: dict[str, Any] = {"seed": 93, "num_inference_steps": 3}


def recorded(folder: Path, pipe: Pipeline, keep: Any = "all", **options: Any) -> tuple[Recording, Result]:
    with record(folder / "run.sdrt", pipe, keep=keep):
        result = pipe.generate("a (red:1.3) circle", "blue", **(QUICK | options))
    return Recording.open(folder / "run.sdrt"), result


def same(a: Result, b: Result) -> bool:
    pictures = zip(a.images, b.images, strict=True)
    return np.array_equal(a.latents, b.latents) and all(np.array_equal(np.asarray(x), np.asarray(y)) for x, y in pictures)


def custom_noise(*first: int, side: tuple[int, int] = (16, 16)) -> sdrt.rng.NoiseStream:
    """A stream that hands out noise for so many pictures first, then for two at each draw."""
    counts = [*first, *[2] * 9]
    return sdrt.rng.from_arrays([np.random.default_rng(k).normal(size=(n, 4, *side)).astype(np.float32) for k, n in enumerate(counts)])


CASES: dict[str, dict[str, Any]] = {
    "text": {},
    "several images and stochastic": {"num_images": 2, "scheduler": "euler_ancestral", "seed": [5, 1]},
    "brownian": {"scheduler": "dpm++ sde"},
    "picture": {"image": picture(1), "strength": 0.7},
    "palette": {"image": picture(1).convert("P"), "strength": 0.7},
    "list of pictures": {"image": [picture(1), picture(2)], "strength": 0.7},
    "mask": {"image": picture(1), "mask_image": mask().convert("1"), "mask_mode": "soft", "strength": 0.9},
    # the same inputs go through two U-Nets, one after the other
    "options of the U-Net": {
        "freeu": sdrt.FreeU(b1=1.2, b2=1.2, s1=0.9, s2=0.5),
        "pag_scale": 2.0,
        "pag_applied_layers": "down",
        "guidance_scale": 1.0,
    },
    "latents": {"latents": np.random.default_rng(1).normal(size=(1, 4, 16, 16)).astype(np.float32)},
    "changed latents": {"image_latents": np.random.default_rng(1).normal(size=(1, 4, 16, 16)).astype(np.float32), "strength": 0.5},
}


@pytest.mark.parametrize("name", CASES)
def test_a_recording_replays_and_plays(tmp_path: Path, name: str) -> None:
    """On the same backend the same bytes, and once more on the recorded networks, without a model."""
    options = CASES[name]
    pipe = sdrt.load("nano")
    recording, result = recorded(tmp_path, pipe, **options)
    again = replay(recording, pipe)
    assert again.distance.equal
    assert same(again.result, result)
    played = replay(recording, recording.path)
    assert played.distance.equal
    assert str(played.distance) == "the recorded pictures and latents, byte for byte"


def test_noise_of_the_callers_is_in_the_recording(tmp_path: Path) -> None:
    pipe = sdrt.load("nano")
    options: dict[str, Any] = {"num_inference_steps": 3, "num_images": 2, "scheduler": "euler_ancestral"}
    with record(tmp_path / "run.sdrt", pipe):
        result = pipe.generate("a", rng=custom_noise(), **options)
        pipe.generate("a", rng=custom_noise(), sampler_rng=custom_noise(), **options)
        # the posterior of the one picture comes first
        pipe.generate("a", rng=custom_noise(1, side=(8, 6)), image=picture(1), strength=0.9, **options)
    recording = Recording.open(tmp_path / "run.sdrt")
    assert same(replay(recording, pipe).result, result)
    for run in (0, 1, 2):
        assert replay(recording, pipe, run=run).distance.equal, run


def test_what_was_not_kept_has_to_be_passed_again(tmp_path: Path) -> None:
    pipe = sdrt.load("nano")
    recording, _ = recorded(tmp_path, pipe, keep="hashes", image=picture(1), strength=0.7)
    with pytest.raises(ConfigError, match="image must be passed again, as the record holds its SHA-256 alone"):
        replay_options(recording)
    recording, _ = recorded(tmp_path, pipe, keep="hashes")
    again = replay(recording, pipe)
    assert again.distance.equal
    assert (again.distance.psnr, again.distance.latents) == (None, None)
    assert (
        str(replay(recording, "nano", FakeBackend()).distance)
        == "how far from the recorded run is unknown: the file has no numbers of this size"
    )


def test_a_damaged_recording_is_replayed_and_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What is lost is told; the settings, which are there, draw the picture."""
    file = tmp_path / "run.sdrt"
    with record(file, sdrt.load("nano")) as pipe:
        pipe.generate("a red circle", seed=1, num_inference_steps=2)
    assert replay(file).distance.equal
    assert not caplog.messages
    whole = file.read_bytes()
    (tmp_path / "cut.sdrt").write_bytes(whole[: len(whole) // 2])
    (call,) = (event for event in Recording.open(file).events(kind="network", component="unet") if event.step == 1)
    place = whole.index(str(call.arrays["output.noise_pred"].entry).encode()) + 400
    (tmp_path / "altered.sdrt").write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
    for name, words in (("cut", "cut short"), ("altered", "altered")):
        caplog.clear()
        assert replay(tmp_path / f"{name}.sdrt").distance.equal == (name == "altered")
        (line,) = caplog.messages
        assert words in line
        assert "first that is lost" in line or "step 1 of run 0" in line


def test_another_backend_is_so_far_away(tmp_path: Path) -> None:
    recording, _ = recorded(tmp_path, sdrt.load("nano"))
    again = replay(recording, "nano", "torch")
    assert again.result.settings.backend["unet"] == "torch"
    assert not again.distance.equal
    assert again.distance.latents is not None
    # float32 rounding over three steps
    assert 0 < again.distance.latents < 1e-3
    assert again.distance.psnr is not None
    assert again.distance.psnr[0] > 60
    assert "dB" in str(again.distance) or "equal" in str(again.distance)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("models")
    return {
        "sd1": save_pipeline_folder(root / "sd1", "sd1", safety_checker=True),
        "controlnet": save_controlnet_folder(root / "controlnet", "sd1", 0),
        "sdxl": save_pipeline_folder(root / "sdxl", "sdxl"),
        "refiner": save_refiner_folder(root / "refiner"),
    }


SIZE = {"height": 64, "width": 48}


def test_controlnets_checkers_and_float64_play(tmp_path: Path, folders: dict[str, Path]) -> None:
    pipe = sdrt.load(
        folders["sd1"], numerics="float64", controlnet=[folders["controlnet"], folders["controlnet"]], safety_checker=True, vae_tiling=True
    )
    recording, result = recorded(tmp_path, pipe, control_image=[picture(1), picture(2)], clip_skip=1, compat="diffusers", **SIZE)
    components = {event.component for event in recording.events(kind="network")}
    assert components == {"text_encoder", "unet", "controlnet.0", "controlnet.1", "vae_decoder", "safety_checker"}
    played = sdrt.load(recording)
    assert played.numerics == "float64"
    assert same(replay(recording, played).result, result)
    assert replay(recording, played).result.flagged == result.flagged


def test_a_refiner_plays(tmp_path: Path, folders: dict[str, Path]) -> None:
    recording, result = recorded(tmp_path, sdrt.load(folders["sdxl"], refiner=folders["refiner"]), refiner_start=0.5, **SIZE)
    assert {"unet", "refiner.unet", "text_encoder_2", "refiner.text_encoder_2"} <= {e.component for e in recording.events(kind="network")}
    assert same(replay(recording, recording.path).result, result)


def test_a_recording_answers_in_any_order_and_names_what_it_does_not_hold(tmp_path: Path) -> None:
    with record(tmp_path / "run.sdrt", sdrt.load("nano")) as pipe:
        first = pipe.generate("a red circle", **QUICK)
        second = pipe.generate("a red circle", **(QUICK | {"seed": 7}))
    played = sdrt.load(str(tmp_path / "run.sdrt"))
    assert same(played.generate("a red circle", **(QUICK | {"seed": 7})), second)
    assert same(played.generate("a red circle", **QUICK), first)
    with pytest.raises(RecordingError, match=r"text_encoder: the inputs of a call must be recorded ones, got others; nearest is run 0"):
        played.generate("a blue circle", **QUICK)
    near = np.array(Recording.open(tmp_path / "run.sdrt").arrays(Recording.open(tmp_path / "run.sdrt").beginning())["noise"])
    near[0, 0, 0, 0] += 0.125
    with pytest.raises(RecordingError, match=r"unet: .* nearest is step 0 of run 0 \(unet\), which differs in sample by 0\.125"):
        played.generate("a red circle", **(QUICK | {"latents": near}))
    with pytest.raises(RecordingError, match=r"unet: a call must have the shapes of one that is recorded, got sample float32\[2,4,8,8\]"):
        played.generate("a red circle", height=64, width=64, **QUICK)


def test_a_tolerance_answers_with_the_nearest_call(tmp_path: Path) -> None:
    recording, result = recorded(tmp_path, sdrt.load("nano"))
    near = np.array(recording.arrays(recording.beginning())["noise"])
    near += 1e-4
    prompt = ("a (red:1.3) circle", "blue")
    # the solver's first steps enlarge the distance
    pipe = sdrt.load("nano", backend=recording.backend(tolerance=1e-2))
    drawn = pipe.generate(*prompt, **(QUICK | {"latents": near}))
    assert 0 < np.abs(drawn.latents - result.latents).max() < 1e-2
    with pytest.raises(RecordingError, match="allow that much"):
        sdrt.load("nano", backend=recording.backend(tolerance=1e-6)).generate(*prompt, **(QUICK | {"latents": near}))


def test_outputs_alone_play_and_hashes_do_not(tmp_path: Path) -> None:
    pipe = sdrt.load("nano", backend=FakeBackend())
    recording, result = recorded(tmp_path, pipe, keep="outputs")
    assert same(replay(recording, recording.path).result, result)
    with pytest.raises(RecordingError, match=r"nearest is .*, which differs in input_ids \(not kept\)"):
        sdrt.load(recording).generate("another", **QUICK)
    recording, _ = recorded(tmp_path, pipe, keep="hashes")
    with pytest.raises(RecordingError, match=r"run 0 \(text_encoder\) must have the numbers of output\.last_hidden_state to answer"):
        replay(recording, recording.path)


def test_runs_that_answer_differently_are_chosen_from(tmp_path: Path) -> None:
    """The same inputs to another network: a LoRA was put on between two runs."""
    with record(tmp_path / "run.sdrt", sdrt.load("nano")) as pipe:
        plain = pipe.generate("a red circle", **QUICK)
        pipe.set_loras(["nano-outline"])
        outlined = pipe.generate("a red circle", **QUICK)
    assert not same(plain, outlined)
    recording = Recording.open(tmp_path / "run.sdrt")
    with pytest.raises(
        RecordingError, match=r"unet: runs 0, 1 must give one answer to these inputs, got several; .* recording\.only\(run\)"
    ):
        sdrt.load(recording).generate("a red circle", **QUICK)
    for run, result in enumerate((plain, outlined)):
        assert same(sdrt.load(recording.only(run)).generate("a red circle", **QUICK), result)


def test_a_recording_takes_no_other_options(tmp_path: Path) -> None:
    recording, _ = recorded(tmp_path, sdrt.load("nano", backend=FakeBackend()))
    with pytest.raises(ConfigError, match="a recording must be loaded without other options, got vae, safety_checker"):
        sdrt.load(recording, vae="nano", safety_checker=True)
    with pytest.raises(ConfigError, match="got backend"):
        sdrt.load(recording.path, "torch")


def test_a_text_encoder_answers_by_its_options(tmp_path: Path) -> None:
    """Both prompts are one text, of which diffusers skips a layer for one alone: the same inputs, and two answers."""
    pipe = sdrt.load("nano")
    with record(tmp_path / "run.sdrt", pipe):
        result = pipe.generate("a red circle", "a red circle", clip_skip=1, compat="diffusers", **QUICK)
    recording = Recording.open(tmp_path / "run.sdrt")
    skipped = recording.events(kind="network", component="text_encoder")
    assert skipped[0].arrays["input.input_ids"].identity == skipped[1].arrays["input.input_ids"].identity
    assert skipped[0].arrays["output.last_hidden_state"].identity != skipped[1].arrays["output.last_hidden_state"].identity
    assert same(replay(recording, recording.path).result, result)


def test_tokens_that_were_learnt_play(tmp_path: Path) -> None:
    """Of a textual inversion the recording has the ids, and nothing of the file."""
    vectors = np.random.default_rng(1).normal(size=(2, 128)).astype(np.float32)
    save_file({"<cat>": vectors}, tmp_path / "cat.safetensors")
    with record(tmp_path / "run.sdrt", sdrt.load("nano", embeddings=[tmp_path / "cat.safetensors"])) as pipe:
        result = pipe.generate("a <cat>, red", **QUICK)
        plain = pipe.generate("a, red", **QUICK)
    assert not same(result, plain)
    (tmp_path / "cat.safetensors").unlink()
    played = sdrt.load(tmp_path / "run.sdrt")
    assert same(played.generate("a <cat>, red", **QUICK), result)


def test_the_tokenizers_files_go_with_the_pipeline(tmp_path: Path) -> None:
    recording, _ = recorded(tmp_path, sdrt.load("nano", backend=FakeBackend()))
    played = sdrt.load(recording)
    folder = played.model.tokenizer_path
    assert folder is not None
    assert (folder / "vocab.json").read_bytes() == (sdrt.models.path("nano") / "tokenizer" / "vocab.json").read_bytes()
    del played
    gc.collect()
    assert not folder.exists()


def test_a_text_encoder_without_words_is_refused(tmp_path: Path) -> None:
    recording, _ = recorded(tmp_path, sdrt.load("nano", backend=FakeBackend()))
    about = {**recording.header["model"], "tokenizers": {}, "pad_tokens": {}}
    with pytest.raises(RecordingError, match="a tokenizer or a pad_token of text_encoder"):
        PlayedModel.read(recording.path, about, {})
