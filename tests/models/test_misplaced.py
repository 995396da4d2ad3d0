"""What is passed as a model and is none: a folder too high or too deep, an archive, a file of another kind, an address, a typo."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import sdrt
from sdrt.errors import ConfigError, MissingFileError, ModelError, SdrtError
from sdrt.models import ModelFolder, open_component, open_model, path


def beside(*names: str) -> Callable[[Path], Path]:
    """A folder with files of these names."""

    def make(root: Path) -> Path:
        for name in names:
            file = root / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(b"")
        return root

    return make


def one(name: str) -> Callable[[Path], Path]:
    """The path of a file of this name."""
    return lambda root: beside(name)(root) / name


MISPLACED: list[tuple[Callable[[Path], Path], str]] = [
    (beside("v1-5.safetensors"), r"is no model folder, and holds the checkpoint v1-5.safetensors; pass .*v1-5\.safetensors$"),
    (beside("a.ckpt", "b.ckpt", "c.pt", "d.pth"), "holds the checkpoint a.ckpt, b.ckpt, c.pt and 1 more; pass .*a.ckpt"),
    (beside("model/unet/config.json", "__MACOSX/._model"), "is no model, and holds model; pass .*model$"),
    (beside("model.gguf"), r"model\.gguf: is a GGUF file"),
    (beside("unet.mlpackage/Manifest.json"), r"the names of its Core ML packages \(unet.mlpackage\) do not say what they are; call them"),
    (beside("config.json", "diffusion_pytorch_model.safetensors"), "is one component by its config.json, not a model"),
    (beside("model.zip"), r"model\.zip: is an archive; unpack it"),
    (one("model.gguf"), "is a GGUF file"),
    (one("model.zip"), "is an archive; unpack it, and pass the folder"),
    (one("unet.mlmodel"), "is one Core ML model, and Stable Diffusion has several"),
    (one("model_index.json"), "is a configuration; pass the model's folder"),
    (one("model.onnx"), "is an ONNX model"),
]


@pytest.mark.parametrize(("make", "message"), MISPLACED)
def test_what_is_no_model_is_named_for_what_it_is(make: Callable[[Path], Path], message: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=message):
        open_model(make(tmp_path / "here"))


@pytest.mark.parametrize(
    ("address", "instead"),
    [
        ("https://huggingface.co/someone/tiny-model", "the repository's name, 'someone/tiny-model'"),
        (
            "https://huggingface.co/someone/tiny-model/resolve/main/unet.safetensors",
            "the repository's name, 'someone/tiny-model::unet.safetensors'",
        ),
        (
            "https://hf.co/someone/tiny-model/blob/v1/a/b.safetensors?download=true",
            "the repository's name, 'someone/tiny-model@v1::a/b.safe",
        ),
        ("hf://someone/tiny-model", "the repository's name, 'someone/tiny-model'"),
        ("http://example.org/model.safetensors", "the file's path"),
        ("file:///models/sd", "the file's path"),
    ],
)
def test_an_address_is_no_model(address: str, instead: str) -> None:
    for open_ in (open_model, lambda text: open_component(text, "controlnet")):
        with pytest.raises(ConfigError, match=rf"must be a path or a repository's name, got .*; fetch it first, or pass {instead}"):
            open_(address)


@pytest.mark.parametrize("value", [3, None, ["a", "b"], b"nano", {"model": "nano"}, 2.5, "", "nul\0"])
def test_values_that_are_no_paths_are_one_error(value: object) -> None:
    for open_ in (open_model, lambda value: open_component(value, "vae_decoder")):
        with pytest.raises(ConfigError, match="must be a path, got "):
            open_(value)  # type: ignore[arg-type]


@pytest.mark.parametrize("variant", [3, "", ["fp16"], "x" * 1000])
def test_a_variant_is_a_short_text(variant: Any) -> None:
    for open_ in (open_model, lambda model, **options: open_component(model, "vae_decoder", **options)):
        with pytest.raises(ConfigError, match="variant must be a"):
            open_("nano", variant=variant)


@pytest.mark.parametrize("name", ["~nobody-of-this-name/x", "x" * 5000, "half\ud800"])
def test_names_that_no_file_can_have_are_one_line(name: str) -> None:
    with pytest.raises(SdrtError) as caught:
        open_model(name)
    assert len(str(caught.value)) < 2000


def test_a_link_to_itself_is_one_error(tmp_path: Path) -> None:
    try:
        (tmp_path / "circle").symlink_to("circle")
    except OSError:
        pytest.skip("no links here")
    with pytest.raises(ModelError, match="circle: cannot be read"):
        open_model(tmp_path / "circle")


@pytest.fixture
def no_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    def ask(*_: object) -> Path:
        raise AssertionError("the Hub was asked")

    monkeypatch.setattr(sdrt.models, "obtain_model", ask)


@pytest.mark.usefixtures("no_hub")
def test_a_typo_never_asks_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("out/typo.safetensors", "out/typo.ckpt", "out/unet.mlpackage", "out/x.gguf"):
        with pytest.raises(SdrtError):
            open_model(name)
    (tmp_path / "out").mkdir()
    with pytest.raises(MissingFileError, match="no such folder"):
        open_model("out/typo")
    with pytest.raises(AssertionError, match="the Hub was asked"):
        open_model("someone/model")


def test_names_that_the_hub_refuses_are_one_line() -> None:
    for name in ("some--one/model", "someone/model.git", "someone/" + "x" * 100):
        with pytest.raises(ModelError, match="no repository can have this name; check it"):
            open_model(name)


def test_a_whole_model_gives_its_component(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(path("nano"), tmp_path / "model"))
    want = ModelFolder(folder, "model").tensors("vae_decoder")
    for source in (folder, folder / "vae", "nano"):
        assert set(open_component(source, "vae_decoder").tensors("vae_decoder")) == set(want)
    with pytest.raises(MissingFileError, match=r"config\.json: not found"):
        open_component(folder, "controlnet")


@pytest.mark.parametrize("option", ["model", "controlnet", "vae", "refiner", "tokenizer", "config"])
def test_load_takes_no_empty_path(option: str) -> None:
    options: dict[str, Any] = {"model": "nano", option: ""}
    with pytest.raises(ConfigError, match=f"{option} must be a name or a path"):
        sdrt.load(**options)
