"""The file of a recording: what is written is read, and every byte counts."""

import json
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load

from sdrt.errors import ConfigError, MissingFileError, ModelError, RecordingError
from sdrt.recordings import Event, Keep, Recording, RecordingWriter

STEPS = 3


def sample(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def write(path: Path, keep: Keep = "all", steps: int = STEPS) -> RecordingWriter:
    """Write one small run, and leave the file open."""
    writer = RecordingWriter(path, {"writer": {"name": "tests"}}, keep=keep, files={"tokenizer/vocab.json": b"{}"})
    writer.add("begin", 0, {"noise": sample(0, 1, 2)}, {"num_calls": steps, "prompt": "größer\ud800"})
    for k in range(steps):
        calls = {"input.sample": sample(k, 1, 2), "input.timestep": np.array([k]), "output.noise_pred": sample(100 + k, 1, 2)}
        writer.add("network", 0, calls, step=k, component="unet")
        writer.add("step", 0, {"before.x": sample(k, 1, 2), "after.x": sample(k + 1, 1, 2)}, {"call": k}, step=k)
    writer.add("end", 0, {"latents": sample(steps, 1, 2), "flags": np.array([True, False])}, {"outcome": "finished"})
    return writer


@pytest.fixture
def file(tmp_path: Path) -> Path:
    write(tmp_path / "run.sdrt").close()
    return tmp_path / "run.sdrt"


def test_what_is_written_is_read(file: Path) -> None:
    recording = Recording.open(file)
    assert recording.complete
    assert recording.lost is None
    assert list(recording.runs) == [0]
    recording.verify()
    assert [event.kind for event in recording.events()] == ["begin", *["network", "step"] * STEPS, "end"]
    for k, event in enumerate(recording.events(kind="network", component="unet")):
        arrays = recording.arrays(event)
        assert event.step == k
        assert np.array_equal(arrays["input.sample"], sample(k, 1, 2))
        assert arrays["input.timestep"].dtype == np.int64
        assert not arrays["output.noise_pred"].flags.writeable
    (end,) = recording.events(kind="end")
    assert recording.arrays(end, ["flags"])["flags"].tolist() == [True, False]
    assert recording.events(kind="begin")[0].values["prompt"] == "größer\ud800"
    assert [recording.outcome(run) for run in (0, 1)] == ["finished", "unknown"]


def test_it_is_plain_zip_json_and_safetensors(file: Path) -> None:
    with zipfile.ZipFile(file) as archive:
        assert archive.testzip() is None
        assert (archive.namelist()[0], archive.namelist()[-1]) == ("recording.json", "index.json")
        assert all(info.compress_type == zipfile.ZIP_STORED for info in archive.infolist())
        event = json.loads(archive.read("events/000003.json"))
        place = event["arrays"]["input.sample"]
        assert np.array_equal(load(archive.read(place["entry"]))[place["key"]], sample(1, 1, 2))


def test_an_array_that_the_file_has_is_not_written_again(file: Path) -> None:
    events = Recording.open(file).events()
    # the noise is the first call's input, and the sample before its step
    places = [events[0].arrays["noise"], events[1].arrays["input.sample"], events[2].arrays["before.x"]]
    assert {(spec.entry, spec.key) for spec in places} == {("events/000000.safetensors", "noise")}


@pytest.mark.parametrize(("keep", "kept"), [("all", {"input.", "output.", "noise"}), ("outputs", {"output.", "noise"}), ("hashes", set())])
def test_what_is_kept(tmp_path: Path, keep: Keep, kept: set[str]) -> None:
    write(tmp_path / "run.sdrt", keep).close()
    write(tmp_path / "all.sdrt").close()
    recording, whole = Recording.open(tmp_path / "run.sdrt"), Recording.open(tmp_path / "all.sdrt")
    recording.verify()
    call, begin = recording.events(kind="network")[0], recording.events(kind="begin")[0]
    held = {*recording.arrays(call), *recording.arrays(begin)}
    assert held == {name for name in (*call.arrays, *begin.arrays) if any(name.startswith(each) for each in kept)}
    assert [spec.identity for spec in call.arrays.values()] == [spec.identity for spec in whole.events(kind="network")[0].arrays.values()]


def test_the_same_events_make_the_same_file(tmp_path: Path, file: Path) -> None:
    write(tmp_path / "again.sdrt").close()
    assert (tmp_path / "again.sdrt").read_bytes() == file.read_bytes()


def damage_of(file: Path) -> str:
    try:
        Recording.open(file).verify()
    except RecordingError as error:
        return str(error)
    return ""


def test_every_byte_counts(tmp_path: Path) -> None:
    """One bit of any byte: entries, headers between them, directory, end."""
    whole = tmp_path / "run.sdrt"
    with RecordingWriter(whole, {}) as writer:
        writer.add("begin", 0, {"noise": sample(0, 2)})
        writer.add("step", 0, {"after.x": sample(1, 2)}, step=0)
    content = whole.read_bytes()
    damaged = tmp_path / "damaged.sdrt"
    unnoticed = []
    for at in range(len(content)):
        damaged.write_bytes(content[:at] + bytes([content[at] ^ 1 << at % 8]) + content[at + 1 :])
        said = damage_of(damaged)
        if not re.search(r"lost|must be a recording|must be the header of a recording|the version of a recording", said):
            unnoticed.append((at, said))
    assert not unnoticed


def damaged_at(file: Path, name: str, offset: int = 8) -> Recording:
    with zipfile.ZipFile(file) as archive:
        info = archive.getinfo(name)
    content = bytearray(file.read_bytes())
    content[info.header_offset + 30 + len(name) + offset] ^= 4
    file.write_bytes(content)
    return Recording.open(file)


@pytest.mark.parametrize(
    ("name", "lost", "left"),
    [
        ("events/000003.json", "events/000003.json is altered; the first that is lost is step 1 of run 0 (unet)", 3),
        ("events/000000.json", "events/000000.json is altered; the first that is lost is run 0 (its beginning)", 0),
        ("events/000007.json", "events/000007.json is altered; the first that is lost is run 0 (its end)", 7),
        ("tokenizer/vocab.json", "", 8),
        ("recording.json", "recording.json is altered; no step is lost", 8),
    ],
)
def test_the_first_step_that_is_lost_is_named(file: Path, name: str, lost: str, left: int) -> None:
    recording = damaged_at(file, name, 1 if name == "tokenizer/vocab.json" else 70 if name == "recording.json" else 8)
    assert lost in (recording.lost or "")
    assert recording.complete == (not lost)
    assert len(recording.events()) == left
    with pytest.raises(RecordingError, match=lost.replace("(", r"\(").replace(")", r"\)") or "tokenizer/vocab.json is altered; no step"):
        recording.verify()


def test_an_altered_beginning_is_named_as_altered(file: Path) -> None:
    recording = damaged_at(file, "events/000000.json", 8)
    assert recording.runs == ()
    with pytest.raises(RecordingError, match=r"events/000000\.json is altered; the first that is lost is run 0 \(its beginning\)"):
        recording.beginning()


def test_altered_arrays_are_named_by_the_first_step_that_needs_them(file: Path) -> None:
    recording = damaged_at(file, "events/000004.safetensors", -1 + 8)
    assert recording.complete
    with pytest.raises(
        RecordingError, match=r"events/000004\.safetensors is altered; the first that is lost is step 1 of run 0 \(the sched"
    ):
        recording.verify()
    # its array is the next call's input
    (_, _, third) = recording.events(kind="network")
    with pytest.raises(RecordingError, match=r"events/000004\.safetensors is altered; it holds arrays of step 2 of run 0 \(unet\)"):
        recording.arrays(third)
    assert recording.arrays(third, ["output.noise_pred"])


@pytest.mark.parametrize("share", [0.3, 0.5, 0.7, 0.9, 0.999])
def test_a_cut_file_gives_what_is_whole(file: Path, share: float) -> None:
    content = file.read_bytes()
    file.write_bytes(content[: int(len(content) * share)])
    recording = Recording.open(file)
    assert not recording.complete
    whole = recording.events()
    assert [event.name for event in whole] == [f"events/{k:06}" for k in range(len(whole))]
    for event in whole:
        assert set(recording.arrays(event)) == set(event.arrays)
    with pytest.raises(RecordingError, match="lost"):
        recording.verify()


def test_what_a_killed_writer_leaves_is_read(tmp_path: Path) -> None:
    writer = write(tmp_path / "run.sdrt")
    (part,) = tmp_path.glob("run.sdrt.*.part")
    assert not (tmp_path / "run.sdrt").exists()
    recording = Recording.open(part)
    assert len(recording.events()) == 2 + 2 * STEPS
    assert "without a directory; run 0 is whole, and what came after it is lost" in str(recording.lost)
    writer.close()
    assert [file.name for file in tmp_path.iterdir()] == ["run.sdrt"]


def test_a_cut_run_says_which_step_is_the_first_lost(tmp_path: Path) -> None:
    writer = RecordingWriter(tmp_path / "run.sdrt", {})
    (part,) = tmp_path.glob("*.part")
    expected = ["all steps are lost", "step 0 of run 0", "step 0 of run 0", "step 1 of run 0", "step 1 of run 0", "the end of run 0"]
    events: list[tuple[Any, ...]] = [
        ("begin", {"num_calls": 2}, None, None),
        *[("network", {}, 0, "unet"), ("step", {}, 0, None), ("network", {}, 1, "unet"), ("step", {}, 1, None)],
    ]
    for k, said in enumerate(expected):
        assert f"{'' if not k else 'the first that is lost is '}{said};" in str(Recording.open(part).lost)
        if k < len(events):
            kind, values, step, component = events[k]
            writer.add(kind, 0, {}, values, step=step, component=component)
    writer.discard()
    assert not list(tmp_path.iterdir())


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="must be a recording, got a name that is not there"):
        Recording.open(tmp_path / "none.sdrt")
    with pytest.raises(ModelError, match="must be a recording, got a folder"):
        Recording.open(tmp_path)
    other = tmp_path / "other.sdrt"
    for content in (b"", b"PK\3\4", b"PK\5\6" + bytes(18), b"\x89PNG" * 100):
        other.write_bytes(content)
        with pytest.raises(RecordingError, match=r"must be a recording, which begins with recording\.json"):
            Recording.open(other)
    with zipfile.ZipFile(other, "w") as archive:
        archive.writestr("recording.json", json.dumps({"format": "sdrt recording", "version": 2}))
    with pytest.raises(RecordingError, match="the version of a recording must be 1 to 1, got 2; update sdrt"):
        Recording.open(other)


def test_a_closed_writer_takes_no_event(tmp_path: Path) -> None:
    writer = write(tmp_path / "run.sdrt")
    writer.close()
    writer.close()
    with pytest.raises(RecordingError, match="must be open to take an event"):
        writer.add("end", 0, {})
    with pytest.raises(RecordingError, match="cannot be written"):
        RecordingWriter(tmp_path / "nowhere" / "run.sdrt", {})
    with pytest.raises(ConfigError, match="keep must be"):
        RecordingWriter(tmp_path / "x.sdrt", {}, keep="some")  # type: ignore[arg-type]


def test_events_are_values(file: Path) -> None:
    first, second = (Recording.open(file).events()[1] for _ in range(2))
    assert isinstance(first, Event)
    assert first == second
