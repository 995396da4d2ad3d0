"""Packages in the forms that Apple's converter makes: each computes what its source network does, and whole folders of them draw.

Apple's own converter does not run here: its networks are written anew in `apples_denoisers` and `apples_parts`, and coremltools converts
them with the arguments that it passes.
"""

import copy
import json
import shutil
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from coremltools.optimize import coreml as cto
from torch import nn

import sdrt
from sdrt.backends.coreml import MLProgram, describe
from sdrt.cli import main
from sdrt.models.coreml.names import RESOURCES, Role, file_stem
from tests.backends.coreml.apples_denoisers import AttentionForm, Transformer
from tests.backends.coreml.apples_folders import (
    NAME,
    Line,
    Source,
    inputs_of,
    make_source,
    module_of,
    outputs_of,
    save_apples,
    write_vocabulary,
)
from tests.backends.coreml.apples_peer import diffusers_picture
from tests.backends.coreml.mil_text_writer import write_compiled, write_metadata
from tests.backends.coreml.peer import convert, ct
from tests.listings import check_listing
from tests.pictures import psnr

Package = Callable[..., Path]
PARTS: Mapping[Line, tuple[Role, ...]] = {
    "sd1": ("text_encoder", "unet", "vae_decoder", "safety_checker"),
    "sd2": ("text_encoder", "unet", "vae_decoder"),
    "sdxl": ("text_encoder", "text_encoder_2", "unet", "vae_decoder"),
}
# What is compared each time, and what takes longer.
QUICKLY: Sequence[tuple[Line, Role]] = (*(("sd1", role) for role in PARTS["sd1"]), ("sdxl", "unet"), ("sdxl", "text_encoder_2"))
MORE: Sequence[tuple[Line, Role]] = (
    *(("sd2", role) for role in PARTS["sd2"]),
    ("sdxl", "text_encoder"),
    ("sdxl", "vae_decoder"),
    ("sd1", "control_unet"),
    ("sd1", "controlnet"),
    ("sd1", "vae_encoder"),
    ("sdxl", "refiner"),
    ("sdxl", "vae_encoder"),
)
QUICK: Mapping[str, Any] = {"num_inference_steps": 3, "guidance_scale": 5.0}
PROMPT, NEGATIVE = "a photo of an astronaut riding a horse on mars", "blue"


@pytest.fixture(scope="module")
def source() -> Callable[[Line], Source]:
    return cache(make_source)


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory, source: Callable[[Line], Source]) -> Package:
    """Return a function that converts a part once; tests copy what they change. XL's U-Net has the old form of ``time_ids``."""
    root = tmp_path_factory.mktemp("apples")

    @cache
    def converted(line: Line, role: Role, form: AttentionForm, target: str, rows: int, flat: bool) -> Path:
        folder = root / f"{line}-{form}-{target}-{rows}-{flat}"
        return save_apples(source(line), folder, role, form, target=target, rows=rows, flat=flat)

    def make(
        line: Line, role: Role, form: AttentionForm = "SPLIT_EINSUM", target: str = "iOS16", rows: int = 2, flat: bool | None = None
    ) -> Path:
        return converted(line, role, form, target, rows, (line, role) == ("sdxl", "unet") if flat is None else flat)

    return make


def decibels(found: np.ndarray, wanted: np.ndarray) -> float:
    error = np.sqrt(np.mean(np.square(found.astype(np.float64) - wanted)))
    return float(20 * np.log10(np.abs(wanted).max() / max(error, 1e-30)))


def as_fed(inputs: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Round inputs as the packages take them, so that a test compares networks, not roundings of their inputs."""
    return {name: value if name == "input_ids" else value.half().float() for name, value in inputs.items()}


def in_double(module: nn.Module, inputs: Mapping[str, torch.Tensor]) -> list[np.ndarray]:
    with torch.no_grad():
        found = copy.deepcopy(module).double()(*(value.double() for value in inputs.values()))
    return [value.numpy() for value in (found if isinstance(found, tuple) else (found,))]


def assert_is_its_source(path: Path, source: Source, role: Role, form: AttentionForm, inputs: Mapping[str, torch.Tensor]) -> None:
    given = as_fed(inputs)
    found = MLProgram(path).predict({name: value.numpy() for name, value in given.items()})
    wanted = in_double(module_of(source, role, form, given, half=True), given)
    assert tuple(found) == outputs_of(source, role)
    for one, other in zip(found.values(), wanted, strict=True):
        # the weights are float16 in both; folded constants (a norm's bias, a checker's concepts) are rounded once more: 74 to 150 dB here
        assert np.array_equal(one, other) or decibels(one, other) >= 70


@pytest.mark.parametrize(("line", "role"), QUICKLY)
def test_a_package_is_its_source_network(line: Line, role: Role, package: Package, source: Callable[[Line], Source]) -> None:
    """Against torch in float64 with the frequencies of timesteps rounded as they are in the package."""
    flat = (line, role) == ("sdxl", "unet")
    inputs = inputs_of(source(line), role, flat=flat)
    assert_is_its_source(package(line, role), source(line), role, "SPLIT_EINSUM", inputs)


def test_timesteps_lose_what_their_frequencies_lose(package: Package, source: Callable[[Line], Source]) -> None:
    """Late timesteps alone are far from diffusers' network: float16 has the frequencies, times 981, to some tenths of a radian."""
    path, model = package("sd1", "unet"), source("sd1")
    inputs = as_fed(inputs_of(model, "unet"))
    distances = []
    for timestep in (1.0, 981.0):
        inputs["timestep"] = torch.full((2,), timestep)
        (wanted,) = in_double(module_of(model, "unet", "SPLIT_EINSUM", inputs), inputs)
        distances.append(decibels(MLProgram(path).predict({name: x.numpy() for name, x in inputs.items()})["noise_pred"], wanted))
    assert distances[0] > 80
    assert 40 < distances[1] < 70


@pytest.mark.parametrize(("adjustment", "flagged"), [(-4.0, False), (4.0, True)])
def test_a_flagged_picture_is_written_over(adjustment: float, flagged: bool, package: Package, source: Callable[[Line], Source]) -> None:
    """At indices that the program finds while it runs. Here special care decides, since all thresholds are a little too high without it."""
    given = as_fed({**inputs_of(source("sd1"), "safety_checker"), "adjustment": torch.tensor([adjustment])})
    found = MLProgram(package("sd1", "safety_checker")).predict({name: value.numpy() for name, value in given.items()})
    assert found["has_nsfw_concepts"].tolist() == [[[[float(flagged)]]]]
    assert np.array_equal(found["filtered_images"], given["images"].numpy() * (not flagged))


# ---- attention and compression, of one transformer


def transformer(source: Source, form: AttentionForm) -> tuple[nn.Module, dict[str, torch.Tensor]]:
    """Return a transformer and inputs of 1,024 queries, which are two runs of SPLIT_EINSUM_V2."""
    generator = torch.Generator().manual_seed(11)
    inputs = {"x": torch.randn((1, 64, 32, 32), generator=generator), "states": torch.randn((1, 32, 1, 77), generator=generator)}
    return Transformer(source.parts["unet"].down_blocks[1].attentions[0], form), inputs


FORMS: Sequence[AttentionForm] = ("ORIGINAL", "SPLIT_EINSUM", "SPLIT_EINSUM_V2")
# a package for iOS 16 of each form, and every later system: the operations of those differ
SYSTEMS = [
    pytest.param(form, target, marks=[] if target == "iOS16" else [pytest.mark.slow])
    for target in ("iOS16", "iOS17", "iOS18")
    for form in FORMS
]


@pytest.mark.parametrize(("form", "target"), SYSTEMS)
def test_each_form_of_attention_is_its_source(form: AttentionForm, target: str, source: Callable[[Line], Source], tmp_path: Path) -> None:
    module, inputs = transformer(source("sd1"), form)
    path = convert(module, inputs, ("out",), tmp_path, precision="float16", target=target)
    assert describe(path).deployment == target.replace("OS", "OS ")
    fused, plain = MLProgram(path), MLProgram(path, fuse=False)
    (wanted,) = in_double(module, inputs)
    # heads, and runs of queries, are put together
    assert ("AttentionStep" if form == "ORIGINAL" else "HeadsStep") in fused.computation_names()
    for program in (fused, plain):
        assert decibels(program.predict(inputs)["out"], wanted) >= 75


@pytest.mark.slow
@pytest.mark.parametrize("bits", [1, 2, 4, 6, 8])
def test_palettes_of_each_size_are_their_numbers(bits: int, source: Callable[[Line], Source], tmp_path: Path) -> None:
    """By k-means, as Apple's converter makes them: the same as coremltools' own decompression, and nearer with more bits."""
    module, inputs = transformer(source("sd1"), "SPLIT_EINSUM")
    path = convert(module, inputs, ("out",), tmp_path, precision="float16")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        how = cto.OptimizationConfig(global_config=cto.OpPalettizerConfig(mode="kmeans", nbits=bits, weight_threshold=100))
        small = cto.palettize_weights(ct.models.MLModel(str(path), skip_model_load=True), how)
        small.save(str(tmp_path / "small.mlpackage"))
        cto.decompress_weights(small).save(str(tmp_path / "plain.mlpackage"))
    assert f"palettized {bits} bit" in describe(tmp_path / "small.mlpackage").functions[0].compression
    write_compiled(tmp_path / "small.mlpackage", tmp_path / "text.mlmodelc", bare=False)
    files = ("small.mlpackage", "plain.mlpackage", "text.mlmodelc")
    found, *same = (MLProgram(tmp_path / name).predict(inputs)["out"] for name in files)
    assert all(np.array_equal(found, other) for other in same)
    (wanted,) = in_double(module, inputs)
    # each bit halves a palette's step: 6 dB, less at the ends of the distribution
    assert decibels(found, wanted) > 5 * bits


# ---- whole folders


def as_folder(package: Package, line: Line, roles: Sequence[Role], out: Path) -> Path:
    """Copy packages into a folder with nothing beside them."""
    out.mkdir(parents=True)
    for role in roles:
        path = package(line, role)
        shutil.copytree(path, out / path.name)
    return out


def drawn(folder: Path, latents: np.ndarray, **options: Any) -> np.ndarray:
    with sdrt.load(folder, **options.pop("load", {})) as pipe:
        return np.asarray(pipe.generate(PROMPT, NEGATIVE, latents=latents, **QUICK, **options).images[0])


def latents_of(source: Source, seed: int = 5) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((1, 4, source.side, source.side)).astype(np.float32)


# Apple's pictures are 52 to 58 dB from PyTorch's, for the sake of the frequencies; random networks lose less on the way.
NEAR = 50.0


@pytest.mark.parametrize("line", ["sd1", pytest.param("sd2", marks=pytest.mark.slow), pytest.param("sdxl", marks=pytest.mark.slow)])
def test_a_folder_of_packages_alone_draws_diffusers_picture(
    line: Line, package: Package, source: Callable[[Line], Source], tmp_path: Path
) -> None:
    """Without tokenizer, scheduler or configuration: family, sizes and what the network predicts are known by shapes."""
    folder, latents = as_folder(package, line, PARTS[line], tmp_path / "packages"), latents_of(source(line))
    wanted = diffusers_picture(source(line), PROMPT, NEGATIVE, latents, **QUICK)
    assert psnr(drawn(folder, latents), wanted) > NEAR
    assert psnr(drawn(folder, latents_of(source(line), 6)), wanted) < 30


@pytest.mark.slow
def test_a_refiner_goes_on_from_its_step(package: Package, source: Callable[[Line], Source], tmp_path: Path) -> None:
    folder = as_folder(package, "sdxl", (*PARTS["sdxl"], "refiner"), tmp_path / "packages")
    latents = latents_of(source("sdxl"))
    found = drawn(folder, latents, load={"refiner": folder}, refiner_start=0.5)
    assert psnr(found, diffusers_picture(source("sdxl"), PROMPT, NEGATIVE, latents, refined_from=1, **QUICK)) > NEAR
    assert psnr(found, diffusers_picture(source("sdxl"), PROMPT, NEGATIVE, latents, **QUICK)) < 40


def test_resources_with_halves_compiled_and_a_vocabulary(
    package: Package, source: Callable[[Line], Source], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As Apple's bundle has it: the U-Net cut by coremltools, whose halves have lost their metadata, and everything compiled."""
    folder = as_folder(package, "sd1", PARTS["sd1"], tmp_path / "packages")
    resources = tmp_path / "Resources"
    resources.mkdir()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ct.models.utils.bisect_model(str(package("sd1", "unet")), str(tmp_path), check_output_correctness=False)
    stem = file_stem("unet", NAME)
    compiled = {f"UnetChunk{number}": tmp_path / f"{stem}_chunk{number}.mlpackage" for number in (1, 2)}
    compiled |= {RESOURCES[role][0]: package("sd1", role) for role in PARTS["sd1"] if role != "unet"}
    for name, path in compiled.items():
        write_metadata(path, write_compiled(path, resources / f"{name}.mlmodelc", bare=False))
    assert not describe(compiled["UnetChunk2"]).metadata
    write_vocabulary(resources)
    (described,) = json.loads((resources / "UnetChunk1.mlmodelc" / "metadata.json").read_text())
    assert {each["name"] for each in described["inputSchema"]} == {"sample", "timestep", "encoder_hidden_states"}
    latents = latents_of(source("sd1"))
    # the same operations; the cut separates some that the executor fuses in the whole: 71 dB here, one byte in two hundred off by one
    assert psnr(drawn(resources, latents), drawn(folder, latents)) > 65
    with sdrt.load(resources) as pipe:
        assert "assumed tokenizer" not in pipe.model.remarks
    capsys.readouterr()
    for argv in ([], ["--json"]):
        assert main(["inspect", str(resources), *argv]) == 0
    first, *lines = capsys.readouterr().out.splitlines()
    assert first == f"{resources}: Core ML packages for pictures of 64x64, 77 tokens; PNDMScheduler, epsilon"
    assert [line.split(",")[0] for line in lines[:2]] == ["text_encoder   TextEncoder.mlmodelc", "unet           UnetChunk1.mlmodelc"]
    found = json.loads("\n".join(lines[lines.index("{") :]))
    check_listing("packages", found)
    assert [each["file"] for each in found["networks"]["unet"]] == ["UnetChunk1.mlmodelc", "UnetChunk2.mlmodelc"]
    assert found["assumed"].keys() == {"assumed scheduler", "assumed scaling_factor"}


# ---- what takes longer


@pytest.mark.slow
@pytest.mark.parametrize(("line", "role"), MORE)
def test_every_other_part_is_its_source_network(line: Line, role: Role, package: Package, source: Callable[[Line], Source]) -> None:
    assert_is_its_source(package(line, role), source(line), role, "SPLIT_EINSUM", inputs_of(source(line), role))


@pytest.mark.slow
@pytest.mark.parametrize("target", ["iOS16", "iOS17", "iOS18"])
@pytest.mark.parametrize("form", FORMS)
def test_a_unet_of_one_row_for_each_form_and_system(
    form: AttentionForm, target: str, package: Package, source: Callable[[Line], Source]
) -> None:
    path, inputs = package("sd1", "unet", form, target, 1), inputs_of(source("sd1"), "unet", rows=1)
    assert_is_its_source(path, source("sd1"), "unet", form, inputs)


@pytest.mark.slow
@pytest.mark.parametrize("role", ["unet", "control_unet"])
def test_a_merged_pipeline_is_the_whole(role: Role, package: Package, source: Callable[[Line], Source], tmp_path: Path) -> None:
    """Two halves in one model, as ``chunk_mlprogram --merge-chunks-in-pipeline-model`` makes it."""
    folder = as_folder(package, "sd1", ("text_encoder", "vae_decoder"), tmp_path / "packages")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ct.models.utils.bisect_model(str(package("sd1", role)), str(folder), merge_chunks_to_pipeline=True, check_output_correctness=False)
    merged = folder / f"{file_stem(role, NAME)}_chunked_pipeline.mlpackage"
    assert len(describe(merged).functions) == 2
    assert_is_its_source(merged, source("sd1"), role, "SPLIT_EINSUM", inputs_of(source("sd1"), role))
    whole = as_folder(package, "sd1", ("text_encoder", "vae_decoder", role), tmp_path / "whole")
    latents = latents_of(source("sd1"))
    assert psnr(drawn(folder, latents), drawn(whole, latents)) > 65


@pytest.mark.slow
def test_time_ids_are_rows_or_laid_end_to_end(package: Package, source: Callable[[Line], Source], tmp_path: Path) -> None:
    model = source("sdxl")
    assert_is_its_source(package("sdxl", "unet", flat=False), model, "unet", "SPLIT_EINSUM", inputs_of(model, "unet"))
    pictures = []
    for flat in (True, False):
        folder = as_folder(package, "sdxl", ("text_encoder", "text_encoder_2", "vae_decoder"), tmp_path / str(flat))
        path = package("sdxl", "unet", flat=flat)
        shutil.copytree(path, folder / path.name)
        pictures.append(drawn(folder, latents_of(model), original_size=(48, 80)))
    assert psnr(*pictures) > 80


@pytest.mark.slow
def test_a_controlled_unet_draws_with_and_without_its_controlnet(
    package: Package, source: Callable[[Line], Source], tmp_path: Path
) -> None:
    model = source("sd1")
    folder = as_folder(package, "sd1", ("text_encoder", "control_unet", "controlnet", "vae_decoder"), tmp_path / "packages")
    latents, picture = latents_of(model), np.random.default_rng(8).integers(0, 256, (64, 64, 3), np.uint8)
    plain = diffusers_picture(model, PROMPT, NEGATIVE, latents, **QUICK)
    led = diffusers_picture(model, PROMPT, NEGATIVE, latents, control=picture, **QUICK)
    assert psnr(drawn(folder, latents), plain) > NEAR
    assert psnr(drawn(folder, latents, load={"controlnet": NAME}, control_image=picture), led) > NEAR
    assert psnr(plain, led) < 40
