"""Folders of Core ML packages through ``sdrt.load``: the same pictures as their source's weights give on the numpy backend."""

import json
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import sdrt
from sdrt.cli import main
from sdrt.errors import ArrayContractError, ConfigError, MissingFileError, ModelError
from sdrt.models import open_model
from sdrt.models.coreml.names import PREFIX, RESOURCES, SUFFIXES, Role, file_stem
from tests.backends.coreml.folders import NAME, SD1_CONTROLNET, save_chunks, save_controlnet, save_package, save_sidecars, save_source
from tests.factories import Form, random_controlnet
from tests.hub_repository import folder_files
from tests.hub_server import HubServer
from tests.listings import check_listing
from tests.pictures import psnr

PROMPT, NEGATIVE = "a red circle", "blue"
QUICK: dict[str, Any] = {"seed": 3, "num_inference_steps": 4, "guidance_scale": 5.0, "rng": "numpy"}
SD1: tuple[Role, ...] = ("text_encoder", "unet", "vae_decoder", "vae_encoder")
TREE = Callable[..., Path]


@pytest.fixture(scope="session")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Form], Path]:
    root = tmp_path_factory.mktemp("sources")
    return cache(lambda form: save_source(root / form, form))


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory, sources: Callable[[Form], Path]) -> TREE:
    """A function that gives one package of a component, made when first asked for; tests copy what they change."""
    root = tmp_path_factory.mktemp("packages")

    @cache
    def converted(form: Form, role: Role, precision: str, batch: int) -> Path:
        folder = root / f"{form}-{precision}-{batch}"
        return save_package(sources(form), folder, role, form, precision=precision, batch=batch)

    def package(form: Form, role: Role, precision: str = "float32", batch: int = 2) -> Path:
        if "unet" in role:
            return converted(form, role, precision, batch)
        # rows are the U-Net's alone, and these forms have the other components in common, weights too
        same = ("inpaint", "lcm", "sdxl") if role.startswith("vae") else ("inpaint", "lcm")
        return converted("sd1" if form in same else form, role, precision, 1)

    return package


@pytest.fixture
def tree(tmp_path: Path, sources: Callable[[Form], Path], packages: TREE) -> TREE:
    """A function that lays packages of a model into a folder of the test's own."""

    def make(form: Form, roles: tuple[Role, ...], precision: str = "float32", batch: int = 2, out: Path | None = None) -> Path:
        out = out or tmp_path / "packages"
        out.mkdir(parents=True, exist_ok=True)
        for role in roles:
            made = packages(form, role, precision, batch)
            shutil.copytree(made, out / made.name)
        save_sidecars(sources(form), out)
        return out

    return make


@pytest.fixture(scope="session")
def controlnet(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A ControlNet in diffusers' layout, and its package."""
    root = tmp_path_factory.mktemp("controlnet")
    random_controlnet(SD1_CONTROLNET, 7).save_pretrained(root / "edges")
    return root / "edges", save_controlnet(root / "edges", root / "packages", "me/edges-v1")


def picture(pipe: Any, **options: Any) -> np.ndarray[Any, Any]:
    with pipe:
        return np.asarray(pipe.generate(PROMPT, NEGATIVE, **{**QUICK, **options}).images[0], np.float64)


def checks(side: int = 64) -> Image.Image:
    grid = (np.indices((side, side)) // 8).sum(axis=0) % 2
    return Image.fromarray((grid * 255).astype(np.uint8)).convert("RGB")


# 60 dB: rounding of inputs to float16 (2^-11) is 66 dB of one call, spread by guidance; 40 dB: the issue's own bound.
@pytest.mark.parametrize(("precision", "bound"), [("float32", 60.0), ("float16", 40.0)])
def test_a_folder_of_packages_draws_the_picture_of_its_source(
    tree: TREE, sources: Callable[[Form], Path], precision: str, bound: float
) -> None:
    found = picture(sdrt.load(tree("sd1", SD1, precision), backend="coreml", precision=precision))
    ours = picture(sdrt.load(sources("sd1")))
    assert psnr(found, ours) > bound
    other = picture(sdrt.load(sources("sd1")), seed=4)
    assert psnr(other, ours) < 30


@pytest.mark.parametrize("merge", [False, True])
def test_halves_are_chained_and_come_first(tree: TREE, merge: bool) -> None:
    folder = tree("sd1", SD1)
    whole = picture(sdrt.load(folder, backend="coreml"))
    package = folder / f"{file_stem('unet', NAME)}.mlpackage"
    save_chunks(package, merge=merge)
    stems = {path.stem for path in folder.glob("*_unet_chunk*.mlpackage")}
    assert stems == {package.stem + end for end in (("_chunked_pipeline",) if merge else ("_chunk1", "_chunk2"))}
    # the same operations in the same order, but values between the halves are rounded to float32 where a fused kernel kept them
    assert psnr(picture(sdrt.load(folder, backend="coreml")), whole) > 80
    # a damaged whole one beside them is never opened
    package.mkdir()
    assert psnr(picture(sdrt.load(folder, backend="coreml")), whole) > 80


def test_one_half_without_the_other_is_an_error(tree: TREE) -> None:
    folder = tree("sd1", SD1)
    stem = file_stem("unet", NAME)
    shutil.move(folder / f"{stem}.mlpackage", folder / f"{stem}_chunk1.mlpackage")
    with pytest.raises(MissingFileError, match=r"has .*_unet_chunk1.mlpackage and no .*_unet_chunk2; a network in halves needs both"):
        sdrt.load(folder, backend="coreml")


def as_resources(folder: Path, out: Path) -> Path:
    out.mkdir()
    for path in sorted(folder.glob(f"{PREFIX}*.mlpackage")):
        half = {"_chunk1": "Chunk1", "_chunk2": "Chunk2"}.get(path.stem[-7:], "")
        role = next(role for role, suffix in SUFFIXES.items() if path.stem[: -7 if half else None].endswith(f"_{suffix}"))
        shutil.move(path, out / f"{RESOURCES[role][-1]}{half}.mlpackage")
    shutil.copy(folder / "vocab.json", out / "vocab.json")
    shutil.copy(folder / "merges.txt", out / "merges.text")
    shutil.copy(folder / "scheduler_config.json", out / "scheduler_config.json")
    return out


def test_a_resources_folder_with_halves_and_a_controlnet(
    tree: TREE, sources: Callable[[Form], Path], controlnet: tuple[Path, Path], tmp_path: Path
) -> None:
    folder = tree("sd1", ("text_encoder", "control_unet", "vae_decoder"))
    save_chunks(folder / f"{file_stem('control_unet', NAME)}.mlpackage")
    resources = as_resources(folder, tmp_path / "Resources")
    (resources / "controlnet").mkdir()
    shutil.copytree(controlnet[1], resources / "controlnet" / "MeEdgesV1.mlpackage")
    led = picture(sdrt.load(resources, backend="coreml", controlnet="me/edges-v1"), control_image=checks())
    ours = picture(sdrt.load(sources("sd1"), controlnet=controlnet[0]), control_image=checks())
    # residuals go in as float16
    assert psnr(led, ours) > 50
    # without a ControlNet the one U-Net that is there is given zeros
    alone = picture(sdrt.load(resources, backend="coreml"))
    assert psnr(alone, picture(sdrt.load(sources("sd1")))) > 60
    assert psnr(alone, led) < 40


def test_a_controlnet_beside_both_unets(tree: TREE, sources: Callable[[Form], Path], controlnet: tuple[Path, Path]) -> None:
    folder = tree("sd1", ("text_encoder", "unet", "control_unet", "vae_decoder"))
    pipe = sdrt.load(folder, backend="coreml", controlnet=controlnet[1])
    ours = picture(sdrt.load(sources("sd1"), controlnet=controlnet[0]), control_image=checks(), control_guidance_end=0.5)
    assert psnr(picture(pipe, control_image=checks(), control_guidance_end=0.5), ours) > 50


def test_a_controlnet_needs_a_unet_that_takes_it_and_a_name_that_is_there(tree: TREE, controlnet: tuple[Path, Path]) -> None:
    folder = tree("sd1", SD1)
    with pytest.raises(ConfigError, match=r"controlnet must be one of its own \(none\) or the path of a package, got 'edges'"):
        sdrt.load(folder, backend="coreml", controlnet="edges")
    with pytest.raises(ConfigError, match=r"its U-Net takes no ControlNet; convert it with --unet-support-controlnet"):
        sdrt.load(folder, backend="coreml", controlnet=controlnet[1])


def test_rows_are_grouped_as_the_packages_take_them(tree: TREE, sources: Callable[[Form], Path]) -> None:
    folder = tree("sd1", SD1, batch=1)
    assert psnr(picture(sdrt.load(folder, backend="coreml")), picture(sdrt.load(sources("sd1")))) > 60
    # three pictures without guidance are three rows, through packages of one row and of two
    for batch in (1, 2):
        out = tree("sd1", SD1, batch=batch, out=folder.parent / f"batch{batch}")
        with sdrt.load(out, backend="coreml") as pipe, sdrt.load(sources("sd1")) as ours:
            some, want = (p.generate(PROMPT, **{**QUICK, "guidance_scale": 1.0, "num_images": 3}).images for p in (pipe, ours))
        for one, other in zip(some, want, strict=True):
            assert psnr(np.asarray(one, np.float64), np.asarray(other, np.float64)) > 60


def test_in_painting(tree: TREE, sources: Callable[[Form], Path]) -> None:
    given = {"image": checks(), "mask_image": Image.fromarray(np.pad(np.full((32, 32), 255, np.uint8), 16))}
    found = picture(sdrt.load(tree("inpaint", SD1), backend="coreml"), **given)
    assert psnr(found, picture(sdrt.load(sources("inpaint")), **given)) > 60
    assert psnr(found, picture(sdrt.load(sources("inpaint")), **{**given, "image": Image.new("RGB", (64, 64))})) < 40


def test_sdxl_and_its_refiner_in_one_folder(tree: TREE, sources: Callable[[Form], Path], packages: TREE) -> None:
    folder = tree("sdxl", ("text_encoder", "text_encoder_2", "unet", "vae_decoder"))
    save_package(sources("sdxl-refiner"), folder, "refiner", "sdxl-refiner")
    # a tiny model's sizes are embedded in 8 numbers, where XL has 256; no shape tells
    forms: dict[str, Form] = {"unet": "sdxl", "refiner": "sdxl-refiner"}
    described = {
        "format": 1,
        "configs": {key: dict(open_model(sources(form)).config("unet")) for key, form in forms.items()},
        "pad_tokens": {"text_encoder_2": "<|endoftext|>"},
        "flags": {"force_zeros_for_empty_prompt": True},
    }
    (folder / "sdrt.json").write_text(json.dumps({"coreml": described}))
    ours = picture(sdrt.load(sources("sdxl")))
    assert psnr(picture(sdrt.load(folder, backend="coreml")), ours) > 60
    refined = picture(sdrt.load(folder, backend="coreml", refiner=folder), refiner_start=0.5)
    assert psnr(refined, ours) < 40
    # the refiner's second text encoder is its own in diffusers' layout, and the folder's in Core ML's
    own = sources("sdxl-refiner")
    mixed = folder.parent / "refiner"
    shutil.copytree(own, mixed)
    for component in ("text_encoder_2", "tokenizer_2"):
        shutil.rmtree(mixed / component)
        shutil.copytree(sources("sdxl") / component, mixed / component)
    assert psnr(refined, picture(sdrt.load(sources("sdxl"), refiner=mixed), refiner_start=0.5)) > 60


def test_lcm(tree: TREE, sources: Callable[[Form], Path]) -> None:
    found = picture(sdrt.load(tree("lcm", SD1), backend="coreml"))
    assert psnr(found, picture(sdrt.load(sources("lcm")))) > 60
    assert psnr(found, picture(sdrt.load(sources("lcm")), guidance_scale=1.0)) < 50


def test_the_safety_checker_of_packages_judges_by_itself(tree: TREE, sources: Callable[[Form], Path]) -> None:
    folder = tree("sd1", (*SD1, "safety_checker"))
    flagged = []
    for opened in (sdrt.load(folder, backend="coreml", safety_checker=True), sdrt.load(sources("sd1"), safety_checker=True)):
        with opened as pipe:
            flagged.append(pipe.generate(PROMPT, **{**QUICK, "num_images": 2}).flagged)
    assert flagged[0] == flagged[1] is not None


def test_fractional_timesteps_are_rounded_to_what_the_packages_take(tree: TREE, caplog: pytest.LogCaptureFixture) -> None:
    with sdrt.load(tree("sd1", SD1), backend="coreml") as pipe, caplog.at_level("INFO", "sdrt"):
        steps = list(pipe.steps(PROMPT, **{**QUICK, "scheduler": "euler karras", "num_inference_steps": 8}))
        remarks = pipe.generate(PROMPT, **QUICK).settings.remarks
    assert all(step.timestep == float(np.float16(step.timestep)) for step in steps)
    assert "the packages take timesteps as float16" in caplog.text
    assert remarks["timesteps"] == "rounded to float16"
    assert remarks["compute_unit"] == "ALL"


def test_a_hub_variant_is_a_folder_below(tree: TREE, tmp_path: Path) -> None:
    root = tmp_path / "coreml-model"
    folder = tree("sd1", SD1, out=root / "original" / "packages")
    assert open_model(root).components == ("text_encoder", "unet", "vae_decoder", "vae_encoder")
    shutil.copytree(folder, root / "split_einsum" / "packages")
    with pytest.raises(ConfigError, match=r"several folders hold Core ML packages; pass one of .*original.*, .*split_einsum"):
        open_model(root)
    assert open_model(root / "original").components == ("text_encoder", "unet", "vae_decoder", "vae_encoder")


def test_packages_of_a_repository(hub: HubServer, tree: TREE, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "repository"
    local = tree("sd1", SD1, out=root / "original" / "packages")
    shutil.copytree(local, root / "split_einsum" / "packages")
    hub.add("apple/tiny", {**folder_files(root), "README.md": b"hello", "tiny_original_packages.zip": b"PK"})
    want = picture(sdrt.load(local, backend="coreml"), num_inference_steps=1)
    with sdrt.load("apple/tiny") as pipe:
        result = pipe.generate(PROMPT, NEGATIVE, **{**QUICK, "num_inference_steps": 1})
    assert result.settings.remarks["chosen packages"].startswith("original/packages, of original/packages (")
    assert np.array_equal(np.asarray(result.images[0]), want)
    asked = {each.path for each in hub.requests if "/resolve/" in each.path}
    assert all("/original/packages/" in path for path in asked)
    # the other folder has the same bytes, which the cache holds
    sdrt.load("apple/tiny", backend="coreml", variant="split_einsum/packages").close()
    assert {each.path for each in hub.requests if "/resolve/" in each.path} == asked
    before = len(hub.requests)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with sdrt.load("apple/tiny", backend="coreml", variant="split_einsum/packages") as pipe:
        assert pipe.model.files("unet")[0].parent.as_posix().endswith("split_einsum/packages")
    assert len(hub.requests) == before


def test_a_variant_of_a_folder_is_a_folder_below(tree: TREE, tmp_path: Path) -> None:
    root = tmp_path / "coreml-model"
    folder = tree("sd1", SD1, out=root / "original" / "packages")
    shutil.copytree(folder, root / "split_einsum" / "packages")
    opened = open_model(root, variant="split_einsum/packages")
    assert opened.files("unet")[0].parent == root / "split_einsum" / "packages"
    with pytest.raises(ConfigError, match=r"no packages of variant 'fp16'; pass one of original/packages, split_einsum/packages"):
        open_model(root, variant="fp16")
    with pytest.raises(ConfigError, match=r"holds Core ML packages, for which variant='fp16' means nothing; leave it out"):
        open_model(folder, variant="fp16")


def test_a_bare_folder_is_described_by_its_packages_and_says_what_it_assumed(tree: TREE, sources: Callable[[Form], Path]) -> None:
    folder = tree("sd1", SD1)
    for file in ("vocab.json", "merges.txt", "scheduler_config.json"):
        (folder / file).unlink()
    with sdrt.load(folder, backend="coreml") as pipe:
        model = pipe.model
        assert model.scheduler_config["_class_name"] == "PNDMScheduler"
        assert (model.config("unet")["cross_attention_dim"], model.config("unet")["sample_size"]) == (32, 8)
        assert (model.config("vae_decoder")["scaling_factor"], model.limits.sizes, model.limits.num_tokens) == (0.18215, ((64, 64),), 77)
        assert set(model.remarks) == {"assumed tokenizer", "assumed scheduler", "assumed scaling_factor"}
        # the packages' own vocabulary is not CLIP's
        assert model.config("text_encoder")["vocab_size"] < 49408
        with pytest.raises(ModelError, match=r"begin and end must be among the \d+ tokens .*, got ids 49406 and 49407; .*tokenizer=FOLDER"):
            pipe.generate(PROMPT, **QUICK)
    given = picture(sdrt.load(folder, backend="coreml", tokenizer=sources("sd1"), config=sources("sd1")))
    assert psnr(given, picture(sdrt.load(sources("sd1")))) > 60


def test_a_folder_of_packages_chooses_its_backend_and_says_so(
    tree: TREE, sources: Callable[[Form], Path], caplog: pytest.LogCaptureFixture
) -> None:
    folder = tree("sd1", SD1)
    with caplog.at_level("WARNING", "sdrt"), sdrt.load(folder) as pipe:
        assert set(pipe._assembly.backends.values()) == {"coreml"}
        assert f"chosen backend: coreml, since {folder} holds Core ML packages" in caplog.messages
        assert pipe.generate("a cat", seed=3, num_inference_steps=1).settings.remarks["chosen backend"].startswith("coreml, since")
    with sdrt.load(folder, vae=sources("sd1") / "vae") as pipe:
        assert pipe._assembly.backends == {"text_encoder": "coreml", "unet": "coreml", "vae_decoder": "numpy", "vae_encoder": "numpy"}
    caplog.clear()
    for chosen in ("coreml", {"unet": "coreml"}):
        with sdrt.load(folder, backend=chosen) as pipe:
            assert set(pipe._assembly.backends.values()) == {"coreml"}
    with sdrt.load("nano") as pipe:
        assert set(pipe._assembly.backends.values()) == {"numpy"}
    assert "chosen backend" not in caplog.text


def test_what_cannot_be_is_said_at_once(tree: TREE, sources: Callable[[Form], Path]) -> None:
    folder = tree("sd1", SD1)
    with pytest.raises(ConfigError, match=r"holds Core ML packages, which backend='numpy' cannot run; pass backend='coreml'"):
        sdrt.load(folder, backend="numpy")
    with pytest.raises(ConfigError, match=r"its text_encoder is no Core ML package; convert the model \('sdrt convert"):
        sdrt.load(sources("sd1"), backend="coreml")
    with pytest.raises(ModelError, match=r"Core ML packages hold programs, not weights; use backend='coreml'"):
        open_model(folder).tensors("unet")
    with pytest.raises(ConfigError, match=r"unknown option compute_units; with backend coreml the options are threads, compute_unit"):
        sdrt.load(folder, backend="coreml", compute_units="ALL")
    with pytest.raises(ConfigError, match=r"compute_unit must be 'ALL' or 'CPU_ONLY' or 'CPU_AND_GPU' or 'CPU_AND_NE', got 'GPU'"):
        sdrt.load(folder, backend="coreml", compute_unit="GPU")
    with pytest.raises(ConfigError, match=r"numerics='float64' is for backends with weights"):
        sdrt.load(folder, backend="coreml", numerics="float64")
    with pytest.raises(ConfigError, match=r"tokenizer is for folders of Core ML packages, leave it out"):
        sdrt.load(sources("sd1"), tokenizer=sources("sd1"))
    with sdrt.load(folder, backend="coreml") as pipe:
        with pytest.raises(ConfigError, match=r"height x width must be 64x64 for this model's packages, got 128x64; take one of those"):
            pipe.generate(PROMPT, height=128, **QUICK)
        with pytest.raises(ConfigError, match=r"long_prompts must be 'truncate' for this model's packages of 77 tokens, got 'chunk'"):
            pipe.generate(PROMPT, long_prompts="chunk", **QUICK)
        with pytest.raises(
            ConfigError,
            match=r"text_encoder: options must be among those of backend 'coreml' \(none\), got clip_skip=1",
        ):
            pipe.generate(PROMPT, clip_skip=1, **QUICK)


def test_loras_are_refused_with_the_way_to_convert_them(tree: TREE, tmp_path: Path) -> None:
    """Before their file is looked at, and before anything runs."""
    (tmp_path / "fur.safetensors").write_text("not a LoRA")
    folder = tree("sd1", SD1)
    refused = r"holds Core ML packages, whose weights are fixed, and cannot take .*fur\.safetensors; convert its source model with --lora"
    with sdrt.load(folder, backend="coreml", lora_dir=tmp_path) as pipe:
        for ask in (lambda: pipe.set_loras(["fur"]), lambda: pipe.generate("a <lora:fur:0.5>")):
            with pytest.raises(ConfigError, match=refused):
                ask()
        pipe.set_loras([])
    with pytest.raises(ConfigError, match=refused):
        sdrt.load(folder, loras=[tmp_path / "fur.safetensors"])


def test_packages_that_are_missing_or_of_another_model_are_named(tree: TREE, packages: TREE) -> None:
    folder = tree("sd1", SD1)
    for role in ("vae_decoder", "text_encoder"):
        package = folder / f"{file_stem(role, NAME)}.mlpackage"
        shutil.move(package, folder.parent / package.name)
        with pytest.raises(MissingFileError, match=r"has no (vae_decoder; its components are|package of a text encoder)"):
            sdrt.load(folder, backend="coreml")
        shutil.move(folder.parent / package.name, package)
    (folder / "sdrt.json").write_text(json.dumps({"coreml": {"format": 1, "configs": {"unet": {"cross_attention_dim": 48}}}}))
    with (
        pytest.raises(ModelError, match=r"has encoder_hidden_states float32\[\*,77,32\], and the model's configuration says .*48"),
        sdrt.load(folder, backend="coreml") as pipe,
    ):
        pipe.load()
    (folder / "sdrt.json").write_text(json.dumps({"coreml": {"format": 9}}))
    with pytest.raises(ModelError, match=r"the format must be 1, got 9; convert the model again, or upgrade sdrt"):
        sdrt.load(folder, backend="coreml")
    (folder / "sdrt.json").unlink()
    other = packages("lcm", "unet", "float32", 2)
    shutil.copytree(other, folder / f"{file_stem('unet', 'another/model')}.mlpackage")
    with pytest.raises(ModelError, match=r"holds packages of several models \(another_model, random_tiny\)"):
        sdrt.load(folder, backend="coreml")


def test_a_network_refuses_arrays_of_another_count(tree: TREE) -> None:
    from sdrt.backends import BackendOptions, registry

    model = sdrt.load(tree("sd1", SD1), backend="coreml").model
    network = registry.get("coreml").open("unet", model, BackendOptions())
    bound = network.bind(encoder_hidden_states=np.zeros((2, 77, 32), np.float32))
    with pytest.raises(ArrayContractError, match=r"arrays must have equally many rows, at least one, got \[2, 3\]"):
        bound(sample=np.zeros((3, 4, 8, 8), np.float32), timestep=np.zeros(3, np.float32))
    network.close()


def test_inspect_shows_what_a_package_holds(packages: TREE, capsys: pytest.CaptureFixture[str]) -> None:
    path = packages("sd1", "vae_decoder", "float32", 2)
    assert main(["inspect", str(path)]) == 0
    text = capsys.readouterr().out
    assert "mlpackage, specification 7 (iOS 16)" in text
    assert "input        z float16[1,4,8,8]" in text
    assert "output       image float32[1,3,64,64]" in text
    assert main(["inspect", "--json", str(path)]) == 0
    found = json.loads(capsys.readouterr().out)
    check_listing("package", found)
    assert found["functions"][0]["operations"]["conv"] > 10
    assert found["size_bytes"] > 1000
    assert main(["inspect", str(path.parent / "none.mlpackage")]) == 2
    assert "no such model" in capsys.readouterr().err


# ---- jobs that start from a picture

HOLE = Image.fromarray(np.pad(np.full((32, 32), 255, np.uint8), 16))


def colours(seed: int, side: int = 64) -> Image.Image:
    small = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)
    return Image.fromarray(small).resize((side, side), Image.Resampling.NEAREST)


@pytest.mark.parametrize("job", [{}, {"mask_image": HOLE, "paste": False}, {"mask_image": HOLE, "mask_mode": "strength", "strength": 1.0}])
def test_pictures_are_changed_as_their_source_changes_them(tree: TREE, sources: Callable[[Form], Path], job: dict[str, Any]) -> None:
    """Image to image, and in-painting with 4 channels."""
    given = {"image": colours(1), "strength": 0.75, "scheduler": "euler a", **job}
    found = picture(sdrt.load(tree("sd1", SD1), backend="coreml"), **given)
    assert psnr(found, picture(sdrt.load(sources("sd1")), **given)) > 55
    assert psnr(found, picture(sdrt.load(sources("sd1")), **{**given, "image": colours(2)})) < 40


def test_in_painting_from_a_share_of_the_noise(tree: TREE, sources: Callable[[Form], Path]) -> None:
    given = {"image": colours(1), "mask_image": HOLE, "strength": 0.5, "paste": False}
    found = picture(sdrt.load(tree("inpaint", SD1), backend="coreml"), **given)
    assert psnr(found, picture(sdrt.load(sources("inpaint")), **given)) > 55
    assert psnr(found, picture(sdrt.load(sources("inpaint")), **{**given, "strength": 1.0})) < 40


def test_a_controlnet_leads_pictures_that_are_changed(tree: TREE, sources: Callable[[Form], Path], controlnet: tuple[Path, Path]) -> None:
    folder = tree("sd1", ("text_encoder", "control_unet", "vae_decoder", "vae_encoder"))
    given = {"image": colours(1), "control_image": checks(), "strength": 0.75}
    for job in ({}, {"mask_image": HOLE, "paste": False}):
        found = picture(sdrt.load(folder, backend="coreml", controlnet=controlnet[1]), **given, **job)
        # residuals go in as float16, and so 63 to 65 dB
        assert psnr(found, picture(sdrt.load(sources("sd1"), controlnet=controlnet[0]), **given, **job)) > 55
        assert psnr(found, picture(sdrt.load(sources("sd1")), **{**given, "control_image": None}, **job)) < 40


def test_jobs_that_packages_have_no_input_for_are_refused(tree: TREE, sources: Callable[[Form], Path]) -> None:
    without = tree("sd1", ("text_encoder", "unet", "vae_decoder"))
    with sdrt.load(without, backend="coreml") as pipe:
        with pytest.raises(ConfigError, match=r"image must be left out for .*, which has no vae_encoder, got 1; pass image_latents, or"):
            pipe.generate(PROMPT, image=colours(1), **QUICK)
        assert not pipe._assembly.base.networks.is_open("unet")
        # latents need no encoder
        latents = np.random.default_rng(1).standard_normal((1, 4, 8, 8)).astype(np.float32)
        found = picture(pipe, image_latents=latents, strength=0.5)
    assert psnr(found, picture(sdrt.load(sources("sd1")), image_latents=latents, strength=0.5)) > 55
    with sdrt.load(tree("sd1", SD1, out=without.parent / "whole"), backend="coreml") as pipe:
        with pytest.raises(ConfigError, match=r"height x width must be 64x64 for this model's packages, got 96x96; take one of those"):
            pipe.generate(PROMPT, image=colours(1, 96), height=96, width=96, **QUICK)
        # a picture of another size is scaled to theirs
        assert pipe.resolve(PROMPT, image=colours(1, 96), **QUICK).height == 64
