"""``sdrt generate --from picture.png``."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import sdrt
from sdrt.cli import main
from sdrt.images.png import read_text, save_png
from tests.factories import UNETS, random_unet, save_pipeline_folder
from tests.hub_repository import nano_files
from tests.hub_server import HubServer

QUICK = ["--steps", "2", "--seed", "93", "-q"]


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A picture with its record."""
    file = tmp_path_factory.mktemp("drawn") / "first.png"
    argv = ["generate", "a red circle", *QUICK, "--negative-prompt", "blue", "--scheduler", "ddim", "--eta", "0.4", "--threads", "1"]
    assert main([*argv, "-o", str(file)]) == 0
    return file


def pixels(file: Path) -> np.ndarray:
    with Image.open(file) as image:
        return np.asarray(image)


def changed(drawn: Path, folder: Path, **fields: object) -> Path:
    """The picture with another record."""
    with Image.open(drawn) as image:
        save_png(image, folder / "changed.png", {"sdrt": json.dumps(json.loads(read_text(drawn)["sdrt"]) | fields)})
    return folder / "changed.png"


def play(file: Path, folder: Path, *flags: str) -> Path:
    assert main(["generate", "--from", str(file), "-q", "--threads", "1", *flags, "-o", str(folder / "again.png")]) == 0
    return folder / "again.png"


def test_a_picture_is_drawn_again_without_a_word(
    drawn: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    again = play(drawn, tmp_path)
    assert pixels(again).tobytes() == pixels(drawn).tobytes()
    assert sdrt.Settings.from_png(again) == sdrt.Settings.from_png(drawn)
    assert capsys.readouterr() == ("", "")
    assert caplog.text == ""


def test_flags_replace_single_settings(drawn: Path, tmp_path: Path) -> None:
    before = sdrt.Settings.from_png(drawn).to_dict()
    after = sdrt.Settings.from_png(play(drawn, tmp_path, "--steps", "3", "--seed", "7", "--negative-prompt", "green")).to_dict()
    assert {name for name in before if before[name] != after[name]} == {"num_inference_steps", "seed", "negative_prompt"}
    assert (after["num_inference_steps"], after["seed"], after["negative_prompt"]) == (3, 7, "green")


def test_another_scheduler_takes_its_own_settings(drawn: Path, tmp_path: Path) -> None:
    """The share of noise of the recorded one would be refused."""
    settings = sdrt.Settings.from_png(play(drawn, tmp_path, "--scheduler", "euler"))
    assert (settings.scheduler, settings.eta) == ("euler", 0.0)


def test_other_prompts_take_the_settings_of_the_record(drawn: Path, tmp_path: Path) -> None:
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("a blue square\na green star\n", encoding="utf-8")
    assert main(["generate", "--from", str(drawn), "--prompts", str(prompts), "-q", "-o", str(tmp_path / "out")]) == 0
    files = sorted((tmp_path / "out").iterdir())
    assert [file.name for file in files] == ["a_blue_square.93.png", "a_green_star.93.png"]
    assert {sdrt.Settings.from_png(file).eta for file in files} == {0.4}


def test_what_is_not_as_it_was_is_told(drawn: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    old = changed(drawn, tmp_path, version="0.0.9", embeddings={"<cat>": "abc"})
    play(old, tmp_path, "--numerics", "float64")
    assert [record.getMessage().removeprefix(f"{old} was drawn with ") for record in caplog.records] == [
        f"version 0.0.9, and this is {sdrt.__version__}: the picture may differ",
        "numerics float32, and this is float64: the picture may differ",
        "embeddings <cat>=abc, and this is none: the picture may differ",
    ]


def test_one_picture_of_a_call_on_one_stream_is_drawn_by_the_whole_call(tmp_path: Path) -> None:
    pipe = sdrt.load("nano", threads=1)
    stream = sdrt.rng.stream("torch", 93)
    result = pipe.generate("a red circle", rng=stream, num_images=3, num_inference_steps=2)
    first, second, _ = result.save(tmp_path)
    assert pixels(play(second, tmp_path)).tobytes() == pixels(second).tobytes()
    assert pixels(first).tobytes() != pixels(second).tobytes()
    assert read_text(tmp_path / "again.png")["sdrt"] == read_text(second)["sdrt"]
    # another seed is a new stream, not a place in the old one
    other = sdrt.Settings.from_png(play(first, tmp_path, "--seed", "5"))
    assert (other.rng, other.shared_streams) == ("torch", {})


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"model": "sd15"}, "its record names the model 'sd15' and not where it lies; pass --model with its folder or file"),
        ({"format": 9}, "a record's format must be 1 to 3, got 9; update sdrt to read it"),
        ({"conditions": {"image": "ab" * 32}}, "image must be passed again, as the record holds its SHA-256 alone (abababababab)"),
        ({"conditions": {"image": 3}}, "a record's image must be the SHA-256 of a picture"),
        ({"backend": {"unet": "abacus"}}, "abacus"),
    ],
    ids=["model", "format", "image", "damaged", "backend"],
)
def test_what_cannot_be_drawn_again_is_one_line(
    drawn: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], fields: dict[str, object], message: str
) -> None:
    assert main(["generate", "--from", str(changed(drawn, tmp_path, **fields)), "-o", str(tmp_path)]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert message in err
    assert [file.name for file in tmp_path.iterdir()] == ["changed.png"]


def test_a_record_of_0_1_0_is_drawn_again(drawn: Path, tmp_path: Path) -> None:
    record = json.loads(read_text(drawn)["sdrt"])
    for name in ("format", "scheduler_options", "vae_tiling", "remarks", "guidance_batching"):
        record.pop(name, None)
    with Image.open(drawn) as image:
        save_png(image, tmp_path / "old.png", {"sdrt": json.dumps(record | {"cfg": "sequential", "emphasis": "no norm"})})
    settings = sdrt.Settings.from_png(play(tmp_path / "old.png", tmp_path))
    assert (settings.guidance_batching, settings.emphasis, settings.eta) == ("sequential", "no_norm", 0.4)


def test_other_weights_under_the_same_name_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A model that was trained on has another fingerprint, and the record says so before anybody compares pictures."""
    folder = save_pipeline_folder(tmp_path / "sd1")
    assert main(["generate", "a red circle", *QUICK, "--threads", "1", "--model", str(folder), "-o", str(tmp_path / "first.png")]) == 0
    play(tmp_path / "first.png", tmp_path, "--model", str(folder))
    assert caplog.text == ""
    unet = random_unet(UNETS["sd1"], seed=5)
    unet.save_pretrained(folder / "unet")
    play(tmp_path / "first.png", tmp_path, "--model", str(folder))
    [record] = caplog.records
    assert re.search(
        r"first\.png was drawn with weights unet=\w{16}, and this is unet=\w{16}: the picture may differ$", record.getMessage()
    )


@pytest.mark.parametrize(("form", "told"), [(2, "noise levels are now spread over the whole trained range"), (3, "")])
def test_what_an_older_version_drew_otherwise_is_told(
    form: int, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "first.png"
    assert main(["generate", "a red circle", *QUICK, "--scheduler", "euler karras", "-o", str(file)]) == 0
    play(changed(file, tmp_path, format=form), tmp_path)
    assert told in caplog.text
    assert bool(caplog.text) == bool(told)


@pytest.mark.parametrize("name", ["a.jpg", "a.jpeg", "a.webp", "folder"])
def test_a_picture_that_lost_a_little_is_drawn_again_without_loss(drawn: Path, tmp_path: Path, name: str) -> None:
    place = [str(tmp_path / name), *(["--format", "JPEG"] if name == "folder" else ["--quality", "60"])]
    assert main(["generate", "--from", str(drawn), "-q", "-o", *place]) == 0
    [lossy] = (tmp_path / name).iterdir() if name == "folder" else [tmp_path / name]
    assert lossy.suffix == (".jpg" if name == "folder" else lossy.suffix)
    assert pixels(lossy).tobytes() != pixels(drawn).tobytes()
    assert sdrt.Settings.from_file(lossy) == sdrt.Settings.from_file(drawn)
    assert pixels(play(lossy, tmp_path)).tobytes() == pixels(drawn).tobytes()
    assert main(["inspect", str(lossy)]) == 0


def test_a_model_of_the_hub_is_that_of_the_commit_that_drew(hub: HubServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Though its branch has moved, to other weights."""
    files = nano_files()
    repository = hub.add("someone/nano", files)
    first = repository.tip
    argv = ["--model", "someone/nano", "--steps", "1", "--height", "64", "--width", "64"]
    assert main(["generate", "a red circle", "--seed", "3", *argv, "-o", str(tmp_path / "drawn.png")]) == 0
    assert json.loads(read_text(tmp_path / "drawn.png")["sdrt"])["revision"] == first
    encoder = "text_encoder/model.safetensors"
    other = bytearray(files[encoder])  # type: ignore[arg-type]
    half = len(other) // 2
    other[half:] = bytes(len(other) - half)
    repository.commit({**files, encoder: bytes(other)})
    capsys.readouterr()
    assert main(["generate", "--from", str(tmp_path / "drawn.png"), "-o", str(tmp_path / "again.png")]) == 0
    assert capsys.readouterr().err == ""
    assert (tmp_path / "again.png").read_bytes() == (tmp_path / "drawn.png").read_bytes()
    assert main(["generate", "--from", str(tmp_path / "drawn.png"), "--revision", "main", "-o", str(tmp_path / "main.png")]) == 0
    fetched, *others = capsys.readouterr().err.splitlines()
    # what has not changed is linked, and not fetched
    assert fetched == "sdrt: someone/nano: fetching 1.0 MB"
    assert "was drawn with weights text_encoder=" in others[0]
