"""The Resources folder, with a substitute for Xcode's compiler."""

import subprocess
from pathlib import Path
from typing import Any

import pytest

from converter.bundling import bundle, compile_by_xcode, how_to_compile
from sdrt.errors import BackendError, MissingFileError
from sdrt.models.coreml.names import Role, file_stem

NAME = "maker/model"


def _package(folder: Path, role: Role, ending: str = "", name: str = NAME) -> Path:
    path = folder / f"{file_stem(role, name)}{ending}.mlpackage"
    (path / "Data").mkdir(parents=True)
    (path / "Data" / "what").write_text(f"{role}{ending}")
    return path


def _contents(resources: Path) -> dict[str, str]:
    return {str(file.relative_to(resources).parent.parent): file.read_text() for file in resources.rglob("what")}


def _tokenizer(folder: Path) -> None:
    for file in ("vocab.json", "merges.txt"):
        (folder / file).write_text(file)


@pytest.fixture(autouse=True)
def _elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "linux")


def test_packages_get_swift_names_and_files_stand_beside_them(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    roles: dict[Role, str] = {"text_encoder": "TextEncoder", "text_encoder_2": "TextEncoder2", "vae_decoder": "VAEDecoder"}
    roles |= {"vae_encoder": "VAEEncoder", "safety_checker": "SafetyChecker", "unet": "Unet", "refiner": "UnetRefiner"}
    roles |= {"control_unet": "ControlledUnet"}
    for role in roles:
        _package(tmp_path, role)
    _package(tmp_path, "controlnet", name="lllyasviel/control_v11p_sd15_canny")
    _package(tmp_path, "unet", name="another/model")
    _tokenizer(tmp_path)
    (tmp_path / "scheduler_config.json").write_text("{}")
    (tmp_path / "sdrt.json").write_text("{}")
    with caplog.at_level("INFO"):
        resources = bundle(tmp_path, NAME)
    wanted = {f"{stem}.mlpackage": role for role, stem in roles.items()}
    assert _contents(resources) == {**wanted, "controlnet/LllyasvielControlV11PSd15Canny.mlpackage": "controlnet"}
    assert {file.name for file in resources.iterdir() if file.is_file()} == {
        "vocab.json",
        "merges.txt",
        "scheduler_config.json",
        "sdrt.json",
    }
    assert "xcrun coremlcompiler compile" in caplog.text
    assert not list(tmp_path.glob(".*"))


def test_halves_stand_for_the_whole_and_a_pipeline_does_too(tmp_path: Path) -> None:
    _package(tmp_path, "unet")
    assert _contents(bundle(tmp_path, NAME)) == {"Unet.mlpackage": "unet"}
    _package(tmp_path, "unet", "_chunked_pipeline")
    assert _contents(bundle(tmp_path, NAME)) == {"Unet.mlpackage": "unet_chunked_pipeline"}
    for ending in ("_chunk1", "_chunk2"):
        _package(tmp_path, "unet", ending)
        _package(tmp_path, "control_unet", ending)
    halves = {
        f"{stem}Chunk{n}.mlpackage": f"{role}_chunk{n}"
        for stem, role in (("Unet", "unet"), ("ControlledUnet", "control_unet"))
        for n in (1, 2)
    }
    assert _contents(bundle(tmp_path, NAME)) == halves


def test_what_is_stale_is_replaced_and_strangers_stay(tmp_path: Path) -> None:
    _package(tmp_path, "vae_decoder")
    resources = tmp_path / "Resources"
    for stale in ("VAEDecoder.mlmodelc", "VAEDecoder.mlpackage", "Mine.mlmodelc"):
        (resources / stale).mkdir(parents=True)
        (resources / stale / "old").write_text("old")
    bundle(tmp_path, NAME)
    assert sorted(path.name for path in resources.iterdir()) == ["Mine.mlmodelc", "VAEDecoder.mlpackage"]
    assert not (resources / "VAEDecoder.mlpackage" / "old").exists()


def test_what_lacks_is_said(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match=r"must hold a package of 'maker/model' to bundle"):
        bundle(tmp_path, NAME)
    _package(tmp_path, "text_encoder")
    (tmp_path / "vocab.json").write_text("{}")
    with pytest.raises(MissingFileError, match=r"a text encoder must have its vocabulary beside it, got no merges.txt"):
        bundle(tmp_path, NAME)


class _Xcode:
    """A substitute for ``subprocess.run`` of the compiler."""

    def __init__(self, code: int = 0, *, writes: bool = True) -> None:
        self.code, self.writes, self.commands = code, writes, list[list[str]]()

    def __call__(self, command: list[str], **how: Any) -> "subprocess.CompletedProcess[str]":
        self.commands.append(command)
        assert "shell" not in how
        if self.writes and self.code == 0:
            made = Path(command[4]) / f"{Path(command[3]).stem}.mlmodelc" / "Data"
            made.mkdir(parents=True)
            (made / "what").write_text(f"compiled {Path(command[3]).stem}")
        return subprocess.CompletedProcess(command, self.code, stdout="", stderr="error: no such operation\n" if self.code else "")


def test_on_a_mac_packages_are_compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "a folder; with $signs"
    package = _package(folder, "unet")
    (folder / "Resources" / "Unet.mlpackage").mkdir(parents=True)
    xcode = _Xcode()
    monkeypatch.setattr("sys.platform", "darwin")
    monkeypatch.setattr("converter.bundling.compile_by_xcode", lambda source, into: compile_by_xcode(source, into, run=xcode))
    resources = bundle(folder, NAME)
    assert _contents(resources) == {"Unet.mlmodelc": f"compiled {package.stem}"}
    assert xcode.commands[0][:4] == ["xcrun", "coremlcompiler", "compile", str(package)]
    assert not (resources / "Unet.mlpackage").exists()


def test_a_compiler_that_fails_is_an_error_that_says_what_it_said(tmp_path: Path) -> None:
    package = _package(tmp_path, "unet")
    with pytest.raises(BackendError, match=r"failed \(1\): error: no such operation"):
        bundle(tmp_path, NAME, compiler=lambda source, into: compile_by_xcode(source, into, run=_Xcode(1)))
    assert not (tmp_path / "Resources" / "Unet.mlmodelc").exists()
    with pytest.raises(BackendError, match=r"succeeded without making .*unet.mlmodelc"):
        compile_by_xcode(package, tmp_path, run=_Xcode(writes=False))

    def missing(*_: Any, **__: Any) -> Any:
        raise FileNotFoundError("xcrun")

    with pytest.raises(BackendError, match=r"compiling needs xcrun, got .*install Xcode"):
        compile_by_xcode(package, tmp_path, run=missing)


def test_the_line_for_a_mac_quotes_the_folder() -> None:
    assert "find '/a b/Resources' -name '*.mlpackage'" in how_to_compile(Path("/a b/Resources"))
