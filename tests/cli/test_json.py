"""`--json`: one document on standard output for each listing, as docs/listings.schema.json has it; and the tables beside it."""

import dataclasses
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sdrt import schedulers
from sdrt.backends import registry
from sdrt.backends.coreml.describe import Summary
from sdrt.cli import main
from sdrt.cli.json_output import json_lines
from sdrt.models import EMBEDDED
from sdrt.models.hub import cached_models
from sdrt.verification import Outcome, Verification
from tests.listings import LISTINGS, check_listing

QUICK = ["--steps", "1", "--repeats", "1", "--size", "64x64", "--threads", "1", "-q"]


@pytest.fixture
def listed(capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """Run a command with --json; what it prints is one document, and nothing is said beside it."""

    def run(name: str, *argv: str, kind: str | None = None) -> Any:
        assert main([name, *argv, "--json"]) == 0
        captured = capsys.readouterr()
        assert captured.err == ""
        document = json.loads(captured.out)
        check_listing(kind or name, document)
        return document

    return run


def cached(folder: Path) -> Path:
    """A cache of the Hub's client with one commit of a model, of two files."""
    repository = folder / "models--someone--nano"
    snapshot = repository / "snapshots" / ("5" * 40)
    snapshot.mkdir(parents=True)
    (snapshot / "model_index.json").write_text('{"_class_name": "StableDiffusionPipeline"}')
    (snapshot / "README.md").write_text("# nano\n")
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("5" * 40)
    return folder


def test_backends(listed: Callable[..., Any]) -> None:
    rows = listed("backends")["backends"]
    assert [(row["name"], row["problem"]) for row in rows] == [(row.name, row.problem) for row in registry.status()]
    assert all(row["available"] == (row["problem"] is None) for row in rows)


def test_schedulers(listed: Callable[..., Any]) -> None:
    rows = listed("schedulers")["schedulers"]
    assert [row["name"] for row in rows] == [row.name for row in schedulers.names()]
    assert schedulers.make(rows[0]["aliases"][0]).sampler == schedulers.make(rows[0]["name"]).sampler


def test_models(listed: Callable[..., Any], tmp_path: Path) -> None:
    document = listed("models", "--cache-dir", str(cached(tmp_path)))
    assert [row["name"] for row in document["models"]] == list(EMBEDDED)
    assert all(Path(row["path"]).exists() for row in document["models"])
    [found], [row] = cached_models(tmp_path), document["hub"]["models"]
    assert (row["repo_id"], row["revisions"], row["commit"]) == ("someone/nano", ["main"], "5" * 40)
    assert (row["size_bytes"], row["path"], row["kind"]) == (found.size_bytes, str(found.path), found.kind)
    assert document["hub"]["cache"] == str(tmp_path)


def test_models_without_the_hubs_client(listed: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "huggingface_hub", None)
    assert listed("models")["hub"] is None


def test_benchmark_prints_what_it_writes_to_a_file(
    listed: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    printed = listed("benchmark", *QUICK)
    assert main(["benchmark", "--json", "here.json", *QUICK]) == 0
    assert capsys.readouterr().out.startswith("model  backend")
    written = json.loads((tmp_path / "here.json").read_text())
    check_listing("benchmark", written)
    assert (written["workload"], written["machine"]) == (printed["workload"], printed["machine"])
    assert main(["benchmark", "--json", "-", *QUICK]) == 0
    assert json.loads(capsys.readouterr().out)["benchmark"] == "sdrt benchmark"
    assert [file.name for file in tmp_path.iterdir()] == ["here.json"]


@pytest.mark.parametrize("departs", [None, "seed 93"])
def test_verify(departs: str | None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    outcomes = [
        Outcome(section="noise", name=name, sha256="ab", departs_at=at, seconds=0.1) for name, at in (("nv", None), ("torch", departs))
    ]
    monkeypatch.setattr("sdrt.verification.verify", lambda *_: Verification(tuple(outcomes)))
    if departs is None:
        assert main(["verify", "--json", "-q"]) == 0
    else:
        with pytest.raises(SystemExit) as ended:
            main(["verify", "--json", "-q"])
        assert ended.value.code == 1
    document = json.loads(capsys.readouterr().out)
    check_listing("verify", document)
    assert [row["verdict"] for row in document["checks"]] == ["equal", "equal" if departs is None else "departs"]


def test_recordings(listed: Callable[..., Any], tmp_path: Path) -> None:
    assert main(["record", "a red circle", "--steps", "1", "-W", "64", "-H", "64", "-q", "-o", str(tmp_path / "run.sdrt")]) == 0
    assert listed("inspect", str(tmp_path / "run.sdrt"), kind="recording")["runs"][0]["steps"] == 1


def test_packages_have_the_fields_of_the_schema() -> None:
    """Their values are compared with coremltools' own in the backend's tests."""
    assert {field.name for field in dataclasses.fields(Summary)} == LISTINGS["$defs"]["package"]["properties"].keys()


def test_the_tables_are_as_they_were(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Columns two blanks apart, as wide as their widest cell; the words of the JSON's values are another thing."""
    assert main(["schedulers"]) == 0
    heads, *rows = capsys.readouterr().out.splitlines()
    assert re.split(r" {2,}", heads) == ["name", "class", "order", "draws noise", "about"]
    start = [heads.index(head) for head in ("name", "class", "order", "draws noise", "about")]
    for line, row in zip(rows, schedulers.names(), strict=True):
        cells = [line[begin:end].rstrip() for begin, end in zip(start, [*start[1:], None], strict=True)]
        assert cells == [row.name, row.class_name, str(row.order), "yes" if row.stochastic else "no", row.about]
    assert main(["backends"]) == 0
    assert capsys.readouterr().out.splitlines()[0].split() == ["name", "from", "here"]
    assert main(["models", "--cache-dir", str(cached(tmp_path))]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0].split() == ["name", "kind", "weights", "size", "steps", "guidance", "about"]
    assert re.split(r" {2,}", out[1])[:6] == ["nano", "model", "9.7 MB", "128x128", "20", "3"]
    assert out[-3] == f"in the Hub's cache, {tmp_path}:"
    assert re.split(r" {2,}", out[-1])[:2] == ["someone/nano", "main 55555555"]


def test_every_command_with_json_is_in_the_schema_or_has_its_own() -> None:
    from sdrt.cli import parser

    commands = parser()._subparsers._group_actions[0].choices  # type: ignore[union-attr]
    with_json = {name for name, command in commands.items() if "--json" in command._option_string_actions}  # type: ignore[union-attr]
    assert with_json == {"backends", "schedulers", "models", "benchmark", "verify", "inspect", "compare", "upscale"}
    assert with_json - {"inspect", "compare"} <= LISTINGS["$defs"].keys()


@pytest.mark.parametrize("value", [{"a": "naïve ☃"}, {"a": "line\nbreak\x1b[31m"}, {"a": "\u202e"}, [1.5, None, True]])
def test_a_document_stays_json_whatever_it_holds(value: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert json.loads("\n".join(json_lines(value))) == value
