"""The files of a conversion: whole packages with metadata, sidecars that grow with them, and nothing incomplete."""

import errno
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from converter import cli, storing
from converter.compression.settings import Palettization
from converter.conversion import convert
from converter.options import Attention, ConvertOptions
from converter.progress import ProgressUpdate
from converter.report import Report
from converter.sizes import parse_sizes, resolve_sizes
from converter.source import model_name, open_source
from converter.tracing import ConvertedModel
from sdrt.backends.coreml import MLProgram, describe
from sdrt.errors import ConfigError, ConversionError, MissingExtraError
from sdrt.models import open_model
from sdrt.tokenizer import ClipTokenizer
from tests.factories import VAES, Form, random_vae

Folders = Callable[[Form], Path]
Converted = Callable[..., Report]

PARTS = ("text_encoder", "vae_decoder")
FC1 = "encoder.layers.0.mlp.fc1.weight"


@pytest.fixture
def done(model_folder: Folders, converted: Converted, tmp_path: Path) -> ConvertOptions:
    """The options of a conversion, and its files in the test's own folder."""
    report = converted(model_folder("sd1"), parts=PARTS, precision="float32")
    out = shutil.copytree(report.packages[0].parent, tmp_path / "out")
    return ConvertOptions(model=str(model_folder("sd1")), out=out, check=False, parts=PARTS, precision="float32")


def files_of(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {str(file.relative_to(folder)): (file.stat().st_mtime_ns, file.read_bytes()) for file in folder.rglob("*") if file.is_file()}


def test_metadata_tells_what_an_app_needs(model_folder: Folders, done: ConvertOptions) -> None:
    found = describe(done.out / "Stable_Diffusion_version_tiny-sd1_vae_decoder.mlpackage")
    assert {"author", "license", "version", "short_description"} <= found.metadata.keys()
    assert found.metadata["version"] == "tiny-sd1"
    assert all(feature.text for feature in (*found.inputs, *found.outputs))
    said = found.user_defined
    wanted = {
        "sdrt.role": "vae_decoder",
        "sdrt.source": "tiny-sd1",
        "sdrt.latent_sizes": "[[8, 8]]",
        "sdrt.prediction_type": "epsilon",
        "sdrt.scaling_factor": "0.18215",
        "sdrt.compression": "none",
        "sdrt.precision": "float32",
    }
    assert wanted.items() <= said.items()
    assert json.loads(said["sdrt.scheduler_config"]) == open_model(model_folder("sd1")).scheduler_config
    assert len(said["sdrt.digest"]) == 32


def test_a_file_of_the_same_options_is_kept(done: ConvertOptions) -> None:
    before = files_of(done.out)
    report = convert(done)
    assert [outcome.status for outcome in report.outcomes] == ["kept", "kept"]
    after = files_of(done.out)
    packages = [name for name in before if ".mlpackage" in name]
    assert packages
    assert all(after[name] == before[name] for name in packages)
    assert {name: content for name, (_, content) in after.items()} == {name: content for name, (_, content) in before.items()}


def test_a_file_of_other_options_is_refused_or_made_anew(done: ConvertOptions, model_folder: Folders, tmp_path: Path) -> None:
    before = files_of(done.out)
    other = replace(done, parts=("text_encoder",), precision="float16")
    with pytest.raises(
        ConversionError,
        match=r"must be a package made with these options, got one whose precision is float32 instead of float16; pass --overwrite",
    ):
        convert(other)
    with pytest.raises(ConversionError, match=r"compression is None instead of .*'nbits': 6"):
        convert(replace(done, parts=("text_encoder",), compression=Palettization(nbits=6)))
    # The decoder's file does not depend on compression.
    assert [each.status for each in convert(replace(done, parts=("vae_decoder",), compression=Palettization(nbits=6))).outcomes] == ["kept"]
    assert files_of(done.out).keys() == before.keys()
    report = convert(replace(other, overwrite=True))
    assert [outcome.status for outcome in report.outcomes] == ["made"]
    assert describe(report.packages[0]).user_defined["sdrt.precision"] == "float16"
    # The same name and options, with other weights.
    source = shutil.copytree(model_folder("sd1"), tmp_path / "tiny-sd1")
    random_vae(VAES["sd1"], seed=99).save_pretrained(source / "vae")
    with pytest.raises(
        ConversionError, match=r"vae_decoder.mlpackage: must be a package made with these options, got one whose source is "
    ):
        convert(replace(done, model=str(source), parts=("vae_decoder",)))


def test_another_models_folder_is_refused(done: ConvertOptions, model_folder: Folders) -> None:
    with pytest.raises(ConversionError, match=r"must hold the packages of 'tiny-sd2' alone, got those of 'tiny-sd1'"):
        convert(replace(done, model=str(model_folder("sd2"))))


@pytest.mark.parametrize(
    ("failure", "raised", "text"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), ConversionError, r"writing failed \(No space left on device\)"),
        (KeyboardInterrupt(), KeyboardInterrupt, ""),
        (RuntimeError("fault"), RuntimeError, "fault"),
    ],
    ids=["full disk", "Ctrl-C", "fault"],
)
@pytest.mark.parametrize("stage", ["save", "opens", "move"])
def test_what_fails_half_way_leaves_what_was_there(
    done: ConvertOptions, monkeypatch: pytest.MonkeyPatch, failure: BaseException, raised: type[BaseException], text: str, stage: str
) -> None:
    """Fail while a package is written, while it is checked, and while it replaces an older one."""
    before, saved = files_of(done.out), _Saved(failure if stage == "save" else None)
    monkeypatch.setattr("converter.conversion._converted", lambda *_, **__: (ConvertedModel(model=saved, values={}), False))
    if stage == "opens":
        monkeypatch.setattr("converter.conversion.check_opens", lambda _: _raise(failure))
    else:
        monkeypatch.setattr("converter.conversion.check_opens", lambda _: None)
    if stage == "move":
        plain = Path.rename
        monkeypatch.setattr(
            Path,
            "rename",
            lambda self, target: _raise(failure) if ".converting-" in str(self) and self.stem.endswith("decoder") else plain(self, target),
        )
    with pytest.raises(raised, match=text or None):
        convert(replace(done, parts=("vae_decoder",), overwrite=True))
    monkeypatch.undo()
    assert files_of(done.out) == before
    assert not [path for path in done.out.iterdir() if path.name.startswith(".")]


class _Saved:
    """A model whose saving fails half way, or leaves a file."""

    package_path, is_temp_package = "", False

    def __init__(self, failure: BaseException | None) -> None:
        self.failure = failure

    def save(self, path: str) -> None:
        Path(path).mkdir()
        (Path(path) / "half").write_text("half")
        if self.failure is not None:
            raise self.failure


def _raise(failure: BaseException) -> None:
    raise failure


def test_a_package_that_does_not_open_is_an_error(done: ConvertOptions) -> None:
    package = done.out / "Stable_Diffusion_version_tiny-sd1_vae_decoder.mlpackage"
    storing.check_opens(package)
    weights = next(package.rglob("weight.bin"))
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(ConversionError, match=r"must open after writing, got"):
        storing.check_opens(package)


def test_sidecars_describe_the_source(model_folder: Folders, done: ConvertOptions) -> None:
    folder = model_folder("sd1")
    model = open_model(folder)
    for name in ("vocab.json", "merges.txt"):
        assert (done.out / name).read_bytes() == (folder / "tokenizer" / name).read_bytes()
    assert json.loads((done.out / "scheduler_config.json").read_text()) == model.scheduler_config
    said = json.loads((done.out / "sdrt.json").read_text())["coreml"]
    assert said["configs"].keys() == set(model.components)
    for part, config in said["configs"].items():
        assert config == json.loads(json.dumps(dict(model.config(part))))
    assert all(traces.keys() <= {"same", "sequence", "vector", "rows"} for traces in said["traces"].values())
    assert said["traces"].keys() == set(done.parts)
    del said["configs"], said["traces"]
    assert said == {
        "format": 1,
        "name": "tiny-sd1",
        "source": {"model": "tiny-sd1", "revision": None},
        "flags": {"force_zeros_for_empty_prompt": False},
        "pad_tokens": {"text_encoder": "<|endoftext|>"},
        "feature_extractor": {},
        "scaling_factor": 0.18215,
        "shift_factor": 0.0,
        "prediction_type": "epsilon",
        "sizes": [[64, 64]],
        "controlnets": {},
    }


def test_sidecars_grow_with_the_folder(
    model_folder: Folders, controlnet_folder: Folders, converted: Converted, done: ConvertOptions, tmp_path: Path
) -> None:
    """A custom autoencoder's entries stay when other components are converted later, and ControlNets accumulate."""
    random_vae({**VAES["sd1"], "scaling_factor": 0.5}, seed=8).save_pretrained(tmp_path / "vae")
    convert(replace(done, parts=("vae_decoder",), vae=str(tmp_path / "vae"), overwrite=True))
    first = json.loads((done.out / "sdrt.json").read_text())["coreml"]
    assert first["scaling_factor"] == first["configs"]["vae_decoder"]["scaling_factor"] == 0.5
    convert(replace(done, parts=("text_encoder",)))
    second = json.loads((done.out / "sdrt.json").read_text())["coreml"]
    assert second == first
    mine = {"num_inference_steps": 7, "coreml": {**second, "controlnets": {"ControlNet_other": {"in_channels": 4}}, "sizes": [[8, 16]]}}
    (done.out / "sdrt.json").write_text(json.dumps(mine))
    convert(replace(done, parts=("text_encoder",)))
    third = json.loads((done.out / "sdrt.json").read_text())
    assert third == mine


def test_a_single_files_vocabulary_is_clips(tmp_path: Path, model_folder: Folders) -> None:
    """A model without a tokenizer folder gets CLIP's files, which give the ids of sdrt's own tokenizer."""
    from converter.sidecars import write_sidecars
    from converter.source import Source

    class Bare:
        """A folder's model with the tokenizer settings of a checkpoint in one file."""

        def __init__(self) -> None:
            self.model = open_model(model_folder("sd2"))
            self.tokenizer_path, self.tokenizer_2_path, self.pad_tokens = None, None, {"text_encoder": "!"}

        def __getattr__(self, name: str) -> Any:
            return getattr(self.model, name)

    source = Source(model=Bare(), name="bare")  # type: ignore[arg-type]
    sizes = resolve_sizes(source, ConvertOptions(model="bare", out=tmp_path))
    write_sidecars(tmp_path, source, sizes, converted=("unet",), refiner=None, controlnets={}, traces={})
    text = "A naïve café, 4k — 日本の山 🎨!"
    assert list(ClipTokenizer.load(tmp_path).encode(text)) == list(ClipTokenizer.clip().encode(text))
    assert json.loads((tmp_path / "sdrt.json").read_text())["coreml"]["pad_tokens"] == {"text_encoder": "!"}
    assert json.loads((tmp_path / "sdrt.json").read_text())["coreml"]["prediction_type"] == "v_prediction"


def test_nothing_is_printed_and_every_stage_told(model_folder: Folders, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """No warnings (each is an error in these tests), no progress bars, no output of the underlying tools."""
    steps: list[ProgressUpdate] = []
    convert(ConvertOptions(model=str(model_folder("sd1")), out=tmp_path, check=False, parts=("text_encoder",)), progress=steps.append)
    assert capfd.readouterr() == ("", "")
    assert [(step.stage, step.done, step.total) for step in steps] == [("reading", 0, 5), ("converting", 1, 5)]


def test_a_constant_that_is_not_finite_is_an_error(done: ConvertOptions) -> None:
    """Every package is checked: otherwise a mask of -inf, or an overflowing weight, would be noticed when a phone shows noise."""
    package = done.out / "Stable_Diffusion_version_tiny-sd1_text_encoder.mlpackage"
    weights = next(package.rglob("weight.bin"))
    data = bytearray(weights.read_bytes())
    # The last numbers of the file belong to the last record.
    data[-2:] = np.float16("inf").tobytes()
    weights.write_bytes(data)
    with pytest.raises(
        ConversionError, match=r"text_encoder.mlpackage: constants must be finite as the source's weights are, got 1 others"
    ):
        storing.check_opens(package)


def test_a_weight_that_float16_cannot_hold_stays_float32(model_folder: Folders, tmp_path: Path) -> None:
    folder = shutil.copytree(model_folder("sd1"), tmp_path / "loud")
    weights = load_file(folder / "text_encoder" / "model.safetensors")
    weights[next(name for name in weights if name.endswith(FC1))][3, 4] = 1e6
    save_file(weights, folder / "text_encoder" / "model.safetensors", metadata={"format": "pt"})
    ids = np.full((1, 77), 9)
    wanted = open_source(ConvertOptions(model=str(folder), out=tmp_path)).adapter("text_encoder")(torch.from_numpy(ids))[0].numpy()
    for precision in ("float16", "float32"):
        options: dict[str, Any] = {"parts": ("text_encoder",), "precision": precision, "check": False}
        (package,) = convert(ConvertOptions(model=str(folder), out=tmp_path / precision, **options)).packages
        found = MLProgram(package).predict({"input_ids": ids})["last_hidden_state"]
        # The others are rounded to float16: a thousandth is two of its steps.
        assert np.abs(found - wanted).max() <= 1e-3 * np.abs(wanted).max()


SIZES: dict[str, tuple[str, dict[str, Any]]] = {
    "latent_height=9": (r"latents must be multiples of 2, .* got 9x8 .* choose images in multiples of 16 pixels", {"latent_height": 9}),
    "sizes=(64, 100)": (r"height and width must be multiples of 16, got 64x100", {"sizes": ((64, 100),)}),
    "sizes=(64, 72)": (r"latents must be multiples of 2, as the U-Net halves them, got 8x9", {"sizes": ((64, 72),)}),
}


@pytest.mark.parametrize("case", SIZES)
def test_sizes_that_the_networks_cannot_halve_are_refused(model_folder: Folders, tmp_path: Path, case: str) -> None:
    message, options = SIZES[case]
    with pytest.raises(ConfigError, match=message):
        convert(ConvertOptions(model=str(model_folder("sd1")), out=tmp_path, parts=("unet",), **options))


def test_sizes_are_the_models_own_or_those_that_are_asked_for(model_folder: Folders, tmp_path: Path) -> None:
    options = ConvertOptions(model=str(model_folder("sd1")), out=tmp_path)
    source = open_source(options)
    assert resolve_sizes(source, options).pictures == ((64, 64),)
    assert resolve_sizes(source, replace(options, latent_height=16)).latents == ((16, 8),)
    assert resolve_sizes(source, replace(options, latent_width=24)).latents == ((8, 24),)
    assert resolve_sizes(source, replace(options, sizes=parse_sizes("64x128,128x64"))).latents == ((16, 8), (8, 16))
    nano = replace(options, model="nano")
    assert resolve_sizes(open_source(nano), nano).pictures == ((128, 128),)


def test_several_sizes_need_a_newer_system(model_folder: Folders, tmp_path: Path) -> None:
    options = ConvertOptions(model=str(model_folder("sd1")), out=tmp_path, parts=("vae_decoder",), sizes=((64, 64), (64, 128)))
    with pytest.raises(ConfigError, match=r"the deployment target of several sizes must be macOS14 or iOS17 or later, got macOS13"):
        convert(options)
    several = replace(options, parts=("unet",), unet_support_controlnet=True, deployment_target="macOS14")
    with pytest.raises(ConfigError, match=r"a control_unet of several sizes must be macOS15 or iOS18, got macOS14"):
        convert(several)
    with pytest.raises(ConfigError, match=r"must be for one size of image"):
        convert(replace(options, parts=("safety_checker",), deployment_target="macOS14"))
    runs = replace(options, parts=("unet",), sizes=((256, 256), (256, 192)), attention=Attention.SPLIT_EINSUM_V2)
    with pytest.raises(ConfigError, match=r"a unet of 2 sizes and up to 1024 queries must not be SPLIT_EINSUM_V2.* choose SPLIT_EINSUM"):
        convert(replace(runs, deployment_target="macOS14"))


def test_one_model_for_several_sizes(model_folder: Folders, converted: Converted) -> None:
    """A decoder of nano's kind, at each of its sizes; other sizes are refused."""
    options: dict[str, Any] = {"precision": "float32", "float32_weights": True, "deployment_target": "macOS14"}
    report = converted(model_folder("sd1"), parts=("vae_decoder",), sizes=((64, 64), (64, 128)), **options)
    adapter = open_source(ConvertOptions(model=str(model_folder("sd1")), out=Path())).adapter("vae_decoder")
    model = MLProgram(report.packages[0])
    assert model.inputs[0].choices == ((1, 4, 8, 8), (1, 4, 8, 16))
    for width in (8, 16):
        z = np.random.default_rng(width).standard_normal((1, 4, 8, width), dtype=np.float32)
        wanted = adapter(torch.from_numpy(z))[0].numpy()
        assert np.abs(model.predict({"z": z})["image"] - wanted).max() <= 1e-4 * np.abs(wanted).max()
    with pytest.raises(TypeError, match=r"z float32\[1,4,8,8\] or \[1,4,8,16\]"):
        model.predict({"z": np.zeros((1, 4, 8, 24), np.float32)})


def test_what_the_model_has_not_cannot_be_converted(model_folder: Folders, tmp_path: Path) -> None:
    options = ConvertOptions(model=str(model_folder("sd2")), out=tmp_path)
    with pytest.raises(ConfigError, match=r"must be asked for a network that the model has, got safety_checker: tiny-sd2 has none"):
        convert(replace(options, parts=("safety_checker",)))
    with pytest.raises(ConfigError, match=r"text_encoder_hidden_size must be 48, .* got 768"):
        convert(replace(options, parts=("unet",), text_encoder_hidden_size=768))
    with pytest.raises(ConfigError, match=r"must hold a U-Net of tiny-sd2 to cut in two"):
        convert(replace(options, chunk=True))


def test_a_missing_safety_checker_is_told_and_the_rest_is_converted(
    model_folder: Folders, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    options = ConvertOptions(model=str(model_folder("sd2")), out=tmp_path, check=False, parts=("safety_checker", "text_encoder"))
    report = convert(options)
    assert [outcome.role for outcome in report.outcomes] == ["text_encoder"]
    text = "tiny-sd2 has no safety checker; none is converted"
    assert report.remarks["no safety checker"] == text
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"].count(text) == 1


def test_a_unet_that_is_there_is_cut_beside_another_conversion(
    nano_packages: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole, out = "Stable_Diffusion_version_nano_unet.mlpackage", tmp_path / "out"
    shutil.copytree(nano_packages, out, ignore=shutil.ignore_patterns("Resources", "*control-unet*"))
    options = ConvertOptions(model="nano", out=out, parts=("text_encoder",), chunk=True, check=False)
    assert [(outcome.role, outcome.status) for outcome in convert(options).outcomes] == [("text_encoder", "kept"), ("unet", "chunked")]
    assert not caplog.messages
    shutil.rmtree(out / whole)
    assert [outcome.role for outcome in convert(options).outcomes] == ["text_encoder"]
    assert caplog.messages == [f"{out}: must hold a U-Net of nano to cut in two ({whole}), got none; pass --convert-unet"]


def test_nothing_is_left_in_the_folder_for_temporary_files_and_rights_are_the_users(
    model_folder: Folders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    monkeypatch.chdir(tmp_path)
    compression = Palettization(nbits=4, min_elements=1)
    report = convert(ConvertOptions(model=str(model_folder("sd1")), out=Path("out"), check=False, parts=PARTS, compression=compression))
    assert "Palettization(nbits=4" in describe(report.packages[0]).user_defined["sdrt.compression"]
    assert list((tmp_path / "temporary").glob("*.mlpackage")) == []
    (tmp_path / "probe").touch()
    modes = {file.stat().st_mode for package in report.packages for file in package.rglob("*") if file.is_file()}
    assert modes == {(tmp_path / "probe").stat().st_mode}


def test_a_disk_that_coremltools_cannot_write_to_is_named_for_what_it_is(
    model_folder: Folders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise RuntimeError("[MIL FileWriter]: Unknown error occurred while writing data to the file.")

    monkeypatch.setattr("coremltools.convert", full)
    with pytest.raises(ConversionError, match=r"writing failed \(\[MIL FileWriter\].* coremltools needs room in .*; make room"):
        convert(ConvertOptions(model=str(model_folder("sd1")), out=tmp_path / "out", parts=("text_encoder",)))
    assert not (tmp_path / "out").exists()


def test_a_folder_of_a_model_in_diffusers_layout_is_no_place_for_packages(model_folder: Folders, tmp_path: Path) -> None:
    """Its vocabulary, scheduler and preferences would become those of the packages."""
    source = shutil.copytree(model_folder("sd1"), tmp_path / "mine")
    before = files_of(source)
    with pytest.raises(ConversionError, match=r"mine: must be a folder for packages, got a model in diffusers' layout"):
        convert(ConvertOptions(model=str(source), out=source, parts=("text_encoder",)))
    assert files_of(source) == before


def test_two_controlnets_of_one_name_are_refused(model_folder: Folders, controlnet_folder: Folders, tmp_path: Path) -> None:
    first = controlnet_folder("sd1")
    second = shutil.copytree(first, tmp_path / first.name)
    options = ConvertOptions(model=str(model_folder("sd1")), out=tmp_path / "out", controlnets=(str(first), str(second)))
    with pytest.raises(ConfigError, match=r"must have a name of its own, got ControlNet_canny-sd1.mlpackage twice"):
        convert(options)


def test_a_models_name_may_hold_anything(model_folder: Folders, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = "mine\x1b[2J\n\u202e日本"
    try:
        source = shutil.copytree(model_folder("sd1"), tmp_path / name)
    except OSError:
        pytest.skip("Windows has no such names")
    arguments = ["--model-version", str(source), "--convert-text-encoder", "--no-check-output-correctness", "-o", str(tmp_path / "out")]
    assert cli.main(arguments) == 0
    out, said = capsys.readouterr()
    assert len(out.splitlines()) == 1
    assert not set(out + said) & set("\x1b\u202e")
    assert describe(next((tmp_path / "out").glob("*.mlpackage"))).metadata["version"].startswith("mine")


def test_names_come_from_the_folder(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    assert model_name(str(tmp_path / "mine")) == "mine"
    assert model_name(str(tmp_path / "mine" / ".." / "mine")) == "mine"
    assert model_name("stabilityai/stable-diffusion-2-1") == "stabilityai/stable-diffusion-2-1"


def test_a_missing_package_is_told_before_anything_is_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("converter.tools.find_spec", lambda name: None if name == "diffusers" else object())
    with pytest.raises(MissingExtraError, match=r"the converter needs diffusers; install the extra: pip install 'sdrt\[convert\]'"):
        convert(ConvertOptions(model=str(tmp_path / "nowhere"), out=tmp_path, parts=("unet",)))


@pytest.mark.parametrize("parts", [("vae_decoder",), ("vae_encoder", "unet")])
def test_a_quick_autoencoder_is_refused_before_anything_is_converted(tmp_path: Path, parts: Any) -> None:
    """Its encoder gives latents, where packages give moments; the rest of the model converts without it."""
    options = ConvertOptions(model="nano", out=tmp_path / "out", check=False, parts=parts, vae="nano-quick")
    with pytest.raises(ConversionError, match=r"must be a VAE \(AutoencoderKL\), got a quick one \(AutoencoderTiny\); convert without it"):
        convert(options)
    assert not list(tmp_path.rglob("*.mlpackage"))
    assert open_source(replace(options, parts=("unet",))).model.components
