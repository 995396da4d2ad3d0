"""Every part of every form: converted on this machine, run by the executor, and compared with diffusers' and transformers' modules."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, ControlNetModel, PNDMScheduler, UNet2DConditionModel
from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker, cosine_distance
from PIL import Image
from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

import sdrt
from converter.arguments import parse_options
from converter.bundling import bundle
from converter.chunking import chunk
from converter.options import ConvertOptions
from converter.parts.denoiser import residual_shapes
from converter.report import Report
from converter.sizes import resolve_sizes
from converter.source import open_source
from sdrt.backends.coreml import MLProgram, describe
from sdrt.cli import parser
from sdrt.models import open_model
from sdrt.models.coreml.names import RESOURCES, Role, controlnet_resource, file_stem
from sdrt.models.families import SD1
from sdrt.tokenizer import ClipTokenizer, in_dialect
from tests.backends.coreml.peer import ct
from tests.converter.apples_readers import PythonModel, SwiftModel, as_picture, python_picture, swift_latents, swift_noise, swift_picture
from tests.converter.documented import Array, documented_arrays, documented_kinds, table
from tests.converter.kinds import CONTROLLED, DEFAULTS, EXACT, HALF, KINDS, sizes_of
from tests.factories import ADDED, Form, normal
from tests.pictures import psnr
from tests.schedulers.swift_pndm import SwiftPndm

Folders = Callable[[Form], Path]
Converted = Callable[..., Report]
Arrays = Mapping[str, np.ndarray]

# The requirement in float32 with float32 weights, and in float16: half a step of float16 is 2**-12 of a value, 72 dB, and a tiny network's
# dozens of layers lose about 15 dB; the worst here is 55.
BARS = ((EXACT, 100.0), (HALF, 50.0))
# Apple's converter writes it on U-Nets alone.
APPLES_VERSION = "com.github.apple.ml-stable-diffusion.version"


def decibels(found: np.ndarray, wanted: np.ndarray) -> float:
    """Return 20 log10 of the largest value over the root mean square error, as in Apple's converter."""
    error = np.sqrt(np.mean(np.square(found.astype(np.float64) - wanted)))
    return float(20 * np.log10(np.abs(wanted).max() / max(error, 1e-30)))


def package_of(report: Report, role: str) -> MLProgram:
    return MLProgram(next(outcome.packages[0] for outcome in report.outcomes if outcome.role == role), precision="float32")


def interface_of(model: MLProgram) -> tuple[list[tuple[str, str, tuple[int, ...]]], list[tuple[str, str]]]:
    return [(each.name, each.dtype, each.shape) for each in model.inputs], [(each.name, each.dtype) for each in model.outputs]


def assert_close(found: Arrays, wanted: Mapping[str, torch.Tensor], bar: float) -> None:
    assert list(found) == list(wanted)
    for name, one in found.items():
        assert one.shape == tuple(wanted[name].shape), name
        assert decibels(one, wanted[name].numpy()) >= bar, (name, decibels(one, wanted[name].numpy()))


def tensors(given: Arrays) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(x) for name, x in given.items()}


def as_half(x: np.ndarray) -> np.ndarray:
    """Round inputs to float16, so that a test compares networks, not roundings of their inputs."""
    return x.astype(np.float16).astype(np.float32)


def unet_inputs(config: Any, form: Form, length: int = 77, batch: int = 2) -> dict[str, np.ndarray]:
    inputs = {
        "sample": as_half(normal(1, batch, config.in_channels, 8, 8)),
        "timestep": np.array([981.0, 21.0][:batch], np.float32),
        "encoder_hidden_states": as_half(normal(2, batch, config.cross_attention_dim, 1, length)),
    }
    if form in ADDED:
        pooled, numbers = ADDED[form]
        inputs |= {
            "time_ids": np.array([[64, 64, 0, 8, 128, 96][:numbers], [64, 96, 8, 0, 64, 64][:numbers]], np.float32)[:batch],
            "text_embeds": as_half(normal(3, batch, pooled)),
        }
    if config.get("time_cond_proj_dim"):
        inputs["timestep_cond"] = as_half(normal(4, batch, config.time_cond_proj_dim))
    return inputs


def run_unet(unet: Any, given: dict[str, torch.Tensor], **residuals: Any) -> torch.Tensor:
    added = {"added_cond_kwargs": {name: given[name] for name in ("time_ids", "text_embeds")}} if "time_ids" in given else {}
    states = given["encoder_hidden_states"][:, :, 0].transpose(1, 2)
    with torch.no_grad():
        found: torch.Tensor = unet(
            given["sample"], given["timestep"], states, timestep_cond=given.get("timestep_cond"), **added, **residuals
        ).sample
    return found


@pytest.mark.parametrize("form", ["sd1", "sd2", "inpaint", "lcm", "sdxl"])
def test_a_unet_is_its_source(model_folder: Folders, converted: Converted, form: Form) -> None:
    """float32 for every form; the forms differ in inputs and configuration, which do not depend on precision."""
    folder = model_folder(form)
    unet = UNet2DConditionModel.from_pretrained(folder / "unet").eval()
    given = unet_inputs(unet.config, form)
    model = package_of(converted(folder, parts=("unet",), attention="ORIGINAL", **EXACT), "unet")
    width = unet.config.cross_attention_dim
    inputs: list[Any] = [
        ("sample", "float16", (2, unet.config.in_channels, 8, 8)),
        ("timestep", "float16", (2,)),
        ("encoder_hidden_states", "float16", (2, width, 1, 77)),
    ]
    inputs += [("time_ids", "float16", (2, 6)), ("text_embeds", "float16", (2, 24))] if form == "sdxl" else []
    inputs += [("timestep_cond", "float16", (2, 24))] if form == "lcm" else []
    assert interface_of(model) == (inputs, [("noise_pred", "float32")])
    assert model.description.user_defined[APPLES_VERSION] == "1.1.0"
    assert_close(model.predict(given), {"noise_pred": run_unet(unet, tensors(given))}, 100)


@pytest.mark.parametrize("attention", ["SPLIT_EINSUM", "SPLIT_EINSUM_V2"])
def test_a_unet_in_float16_is_its_source(model_folder: Folders, converted: Converted, attention: str) -> None:
    folder = model_folder("sd1")
    unet = UNet2DConditionModel.from_pretrained(folder / "unet").eval()
    given = unet_inputs(unet.config, "sd1")
    path = next(iter(converted(folder, parts=("unet",), attention=attention, **HALF).packages))
    wanted = run_unet(unet, tensors(given))
    for precision in ("float32", "float16"):
        found = MLProgram(path, precision=precision).predict(given)
        assert_close(found, {"noise_pred": wanted}, 50)


def test_the_refiner_takes_five_numbers_and_the_bases_name(model_folder: Folders, converted: Converted) -> None:
    base, refiner = model_folder("sdxl"), model_folder("sdxl-refiner")
    report = converted(base, refiner=str(refiner), attention="ORIGINAL", **EXACT)
    assert [path.name for path in report.packages] == ["Stable_Diffusion_version_tiny-sdxl_refiner.mlpackage"]
    model = package_of(report, "refiner")
    assert interface_of(model)[0][3:] == [("time_ids", "float16", (2, 5)), ("text_embeds", "float16", (2, 24))]
    assert model.description.metadata["version"] == "tiny-sdxl-refiner"
    assert model.description.user_defined[APPLES_VERSION] == "1.1.0"
    unet = UNet2DConditionModel.from_pretrained(refiner / "unet").eval()
    given = unet_inputs(unet.config, "sdxl-refiner")
    assert_close(model.predict(given), {"noise_pred": run_unet(unet, tensors(given))}, 100)


@pytest.mark.parametrize("form", ["sd1", "sdxl"])
def test_a_controlnet_and_its_unet_are_their_sources(
    model_folder: Folders, controlnet_folder: Folders, converted: Converted, form: Form
) -> None:
    """Residuals of one are inputs of the other: as a conversion has it by default, and row by row (batch one), as in apps."""
    folder, control = model_folder(form), controlnet_folder(form)
    options, batch, timesteps = CONTROLLED[form]
    report = converted(folder, parts=("unet",), controlnets=(str(control),), unet_support_controlnet=True, **options)
    assert [path.name for path in report.packages] == [
        f"Stable_Diffusion_version_tiny-{form}_control-unet.mlpackage",
        f"ControlNet_canny-{form}.mlpackage",
    ]
    unet = UNet2DConditionModel.from_pretrained(folder / "unet").eval()
    net = ControlNetModel.from_pretrained(control).eval()
    given = unet_inputs(unet.config, form, batch=batch)
    picture = as_half(np.random.default_rng(9).random((batch, 3, 64, 64), dtype=np.float32))
    states = torch.from_numpy(given["encoder_hidden_states"])[:, :, 0].transpose(1, 2)
    added = {"added_cond_kwargs": {name: torch.from_numpy(given[name]) for name in ("time_ids", "text_embeds")}} if form == "sdxl" else {}
    with torch.no_grad():
        down, middle = net(
            torch.from_numpy(given["sample"]),
            torch.from_numpy(given["timestep"]),
            states,
            torch.from_numpy(picture),
            return_dict=False,
            **added,
        )
    residuals = {f"additional_residual_{index}": x for index, x in enumerate((*down, middle))}
    controller = package_of(report, "controlnet")
    inputs, outputs = interface_of(controller)
    names = ["sample", "timestep", "encoder_hidden_states", "controlnet_cond", *(["time_ids", "text_embeds"] if added else [])]
    assert [name for name, _, _ in inputs] == names
    assert ("timestep", timesteps, (batch,)) in inputs
    assert outputs == [(name, "float32") for name in residuals]
    assert APPLES_VERSION not in controller.description.user_defined
    assert_close(controller.predict({**given, "controlnet_cond": picture}), residuals, 100)
    # The condition is used: another image gives other residuals.
    other = controller.predict({**given, "controlnet_cond": 1 - picture})
    assert decibels(other["additional_residual_0"], residuals["additional_residual_0"].numpy()) < 80
    halved = {name: as_half(x.numpy()) for name, x in residuals.items()}
    controlled = package_of(report, "control_unet")
    assert controlled.description.user_defined[APPLES_VERSION] == "1.1.0"
    assert interface_of(controlled)[0][-len(halved) :] == [(name, "float16", x.shape) for name, x in halved.items()]
    *first, last = map(torch.from_numpy, halved.values())
    extra = {"down_block_additional_residuals": tuple(first), "mid_block_additional_residual": last}
    wanted = run_unet(unet, tensors(given), **extra)
    assert decibels(run_unet(unet, tensors(given)).numpy(), wanted.numpy()) < 40
    assert_close(controlled.predict({**given, **halved}), {"noise_pred": wanted}, 100)


@pytest.mark.parametrize(("options", "bar"), BARS, ids=["float32", "float16"])
def test_text_encoders_are_their_sources(model_folder: Folders, converted: Converted, options: dict[str, Any], bar: float) -> None:
    ids = np.random.default_rng(5).integers(0, 500, (1, 77))
    ids[0, 20:] = 520
    for form, name, kind in (
        ("sd1", "text_encoder", CLIPTextModel),
        ("sd2", "text_encoder", CLIPTextModel),
        ("sdxl", "text_encoder", CLIPTextModel),
        ("sdxl", "text_encoder_2", CLIPTextModelWithProjection),
    ):
        folder = model_folder(form)  # type: ignore[arg-type]
        model = package_of(converted(folder, parts=("text_encoder",), **options), name)
        hidden = "hidden_embeds" if form == "sdxl" else "last_hidden_state"
        assert interface_of(model) == ([("input_ids", "float32", (1, 77))], [(hidden, "float32"), ("pooled_outputs", "float32")])
        encoder = kind.from_pretrained(folder / name).eval()
        with torch.no_grad():
            found = encoder(torch.from_numpy(ids), output_hidden_states=True)
        state = found.hidden_states[-2] if form == "sdxl" else found.last_hidden_state
        pooled = found.text_embeds if name == "text_encoder_2" else found.pooler_output
        assert_close(model.predict({"input_ids": ids.astype(np.float32)}), {hidden: state, "pooled_outputs": pooled}, bar)


@pytest.mark.parametrize("form", ["sd1", "sdxl"])
def test_both_halves_of_the_autoencoder_are_their_sources(model_folder: Folders, converted: Converted, form: Form) -> None:
    """float16 for Stable Diffusion 1.x; XL's stays float32 whatever is requested, and so do its inputs."""
    folder = model_folder(form)
    vae = AutoencoderKL.from_pretrained(folder / "vae").eval()
    report = converted(folder, parts=("vae_decoder", "vae_encoder"), **HALF)
    dtype, bar = ("float32", 60) if form == "sdxl" else ("float16", 50)
    z, x = as_half(normal(6, 1, 4, 8, 8)), as_half(normal(7, 1, 3, 64, 64))
    decoder, encoder = package_of(report, "vae_decoder"), package_of(report, "vae_encoder")
    assert interface_of(decoder) == ([("z", dtype, (1, 4, 8, 8))], [("image", "float32")])
    assert interface_of(encoder) == ([("x", dtype, (1, 3, 64, 64))], [("latent", "float32")])
    with torch.no_grad():
        image = vae.decode(torch.from_numpy(z)).sample
        moments = vae.encode(torch.from_numpy(x)).latent_dist.parameters
    assert_close(decoder.predict({"z": z}), {"image": image}, bar)
    assert_close(encoder.predict({"x": x}), {"latent": moments}, bar)
    assert decoder.description.user_defined["sdrt.precision"] == ("float32" if form == "sdxl" else "float16")


@pytest.mark.parametrize(("options", "bar"), BARS, ids=["float32", "float16"])
def test_the_safety_checker_flags_as_its_source(model_folder: Folders, converted: Converted, options: dict[str, Any], bar: float) -> None:
    folder = model_folder("sd1")
    checker = StableDiffusionSafetyChecker.from_pretrained(folder / "safety_checker", attn_implementation="eager").eval()
    model = package_of(converted(folder, parts=("safety_checker",), **options), "safety_checker")
    inputs = [("clip_input", "float16", (1, 3, 28, 28)), ("images", "float16", (1, 64, 64, 3)), ("adjustment", "float16", (1,))]
    outputs = [(name, "float32") for name in ("filtered_images", "has_nsfw_concepts", "concept_scores")]
    assert interface_of(model) == (inputs, outputs)
    clip, images = as_half(normal(8, 1, 3, 28, 28)), as_half(np.random.default_rng(10).random((1, 64, 64, 3), dtype=np.float32))
    with torch.no_grad():
        embedded = checker.visual_projection(checker.vision_model(torch.from_numpy(clip))[1])
        special = cosine_distance(embedded, checker.special_care_embeds) - checker.special_care_embeds_weights
        plain = cosine_distance(embedded, checker.concept_embeds) - checker.concept_embeds_weights
    worst = float(special.max())
    seen = set()
    # Below and above the threshold of special care, with a margin for rounding.
    for adjustment in (-worst - 0.25, -worst + 0.25):
        adjusted = as_half(np.array([adjustment], np.float32))
        scores = plain + 0.01 * bool((special + torch.from_numpy(adjusted) > 0).any())
        found = model.predict({"clip_input": clip, "images": images, "adjustment": adjusted})
        assert decibels(found["concept_scores"], scores.numpy()) >= bar
        flagged = bool((scores > 0).any())
        assert found["has_nsfw_concepts"].shape == (1, 1, 1, 1)
        assert found["has_nsfw_concepts"].item() == flagged
        assert np.array_equal(found["filtered_images"], np.zeros_like(images) if flagged else images)
        seen.add(bool((special + torch.from_numpy(adjusted) > 0).any()))
    assert seen == {True, False}


def test_weights_are_half_as_large_in_a_computation_of_float32(model_folder: Folders, converted: Converted) -> None:
    """float16 weights in a float32 computation: half the size, and as accurate as their rounding allows."""
    folder = model_folder("sd1")
    small = converted(folder, parts=("text_encoder",), precision="float32")
    large = converted(folder, parts=("text_encoder",), **EXACT)
    sizes = [sum(file.stat().st_size for file in report.packages[0].rglob("weight.bin")) for report in (small, large)]
    assert 0.5 <= sizes[0] / sizes[1] < 0.53
    ids = {"input_ids": np.full((1, 77), 7, np.float32)}
    one, other = (package_of(report, "text_encoder").predict(ids) for report in (small, large))
    assert 55 < decibels(one["last_hidden_state"], other["last_hidden_state"]) < 100


# ---- every field, as docs/apple-packages.md has it, and as Apple's programs read it

kinds = pytest.mark.parametrize(("kind", "form"), [(kind, form) for kind, form, _ in KINDS])
Packages = Callable[[str, Form], Path]

PROMPT, NEGATIVE = "a red circle", "blue"


@kinds
def test_inputs_and_outputs_are_those_of_the_document(kind: str, form: Form, packages: Packages, model_folder: Folders) -> None:
    folder = model_folder("sdxl-refiner" if kind.startswith("refiner") else form)
    wanted = documented_arrays(kind, sizes_of(folder), residual_shapes(open_model(folder).config("unet"), 2, (8, 8)))
    path = packages(kind, form)
    spec, model = ct.utils.load_spec(str(path)), describe(path)
    for features, arrays, declared in (
        (model.inputs, wanted[0], spec.description.input),
        (model.outputs, wanted[1], spec.description.output),
    ):
        codes = {each.name: each.type.multiArrayType.dataType for each in declared}
        assert [Array(each.name, each.dtype, each.shape, codes[each.name]) for each in features] == arrays
        assert all(each.shortDescription for each in declared)
    # what Apple's Python pipeline takes: exactly these
    expected = PythonModel(path).expected
    assert [(name, dtype.name, shape) for name, (shape, dtype) in expected.items()] == [(x.name, x.dtype, x.shape) for x in wanted[0]]


def test_every_kind_of_the_document_is_converted() -> None:
    assert documented_kinds() == {kind for kind, _, _ in KINDS}


@kinds
def test_metadata_is_that_of_the_document(kind: str, form: Form, packages: Packages) -> None:
    said, role = describe(packages(kind, form)), kind.split(" ")[0]
    name = {"controlnet": "canny-sd1", "refiner": "tiny-sdxl-refiner"}.get(role, f"tiny-{form}")
    found = {**said.metadata, **said.user_defined}
    assert found["sdrt.role"] == role
    for row in table("Metadata"):
        field, wanted = row["field"], row["sdrt"].replace("NAME", name).replace("VERSION", sdrt.__version__)
        if row["packages"] != "all" and role not in row["packages"].split(", "):
            assert field not in found
        elif field == "com.github.apple.coremltools.version":
            assert found[field] == ct.__version__
        elif field == "short_description":
            assert found[field].endswith(f" ({name}).")
        # the sentences of inputs and outputs are held above
        elif field not in ("sdrt.*", "description of each input and output"):
            assert found[field] == wanted, field


def test_the_defaults_of_a_conversion_are_those_of_the_document(packages: Packages, model_folder: Folders) -> None:
    options = ConvertOptions(model=str(model_folder("sd1")), out=Path())
    spec = ct.utils.load_spec(str(packages("unet", "sd1")))
    ((function, inner),) = spec.mlProgram.functions.items()
    found = {"specification": spec.specificationVersion, "opset": inner.opset, "function": function}
    typed = parse_options(parser().parse_args(["convert", "--convert-unet", "-o", "."]))
    for row in table("Defaults of a conversion"):
        field, wanted = row["field"], row["sdrt"]
        if field == "size":
            assert resolve_sizes(open_source(options), options).latents == ((8, 8),)
        else:
            values = [found[field]] if field in found else [getattr(options, field), getattr(typed, field)]
            assert {str(value) for value in values} == {wanted}, field
    # the package above is one of these defaults
    assert {"parts": ("unet",), "attention": options.attention, "precision": options.precision} == DEFAULTS


def test_files_are_called_as_in_the_document() -> None:
    rows = {row["role"]: row for row in table("Files")}
    assert rows.keys() == set(get_args(Role))
    for role in get_args(Role):
        assert file_stem(role, "maker/model") == rows[role]["package"].replace("NAME", "maker_model")
        stem = f"controlnet/{controlnet_resource('name')}" if role == "controlnet" else RESOURCES[role][0]
        assert stem == rows[role]["in Resources"]


@kinds
def test_apples_swift_finds_what_it_reads(kind: str, form: Form, packages: Packages) -> None:
    model, xl = SwiftModel(packages(kind, form)), kind.endswith("(XL)")
    match kind.split(" ")[0]:
        case "text_encoder" | "text_encoder_2":
            name, (rows, tokens) = model.only_input()
            found = model.prediction({name: np.arange(rows * tokens).reshape(rows, tokens)})
            states = found["hidden_embeds"] if xl else found["last_hidden_state"]
            assert states.shape[:2] == (1, 77)
            assert found["pooled_outputs"].shape[0] == 1
        case "unet" | "refiner" | "control_unet":
            model.only_output()
            sample, time_ids = swift_latents([model])
            assert (len(sample), model.inputs["timestep"], model.inputs["encoder_hidden_states"][2:]) == (4, (sample[0],), (1, 77))
            assert (time_ids is not None) is xl
        case "controlnet":
            unet = SwiftModel(packages("control_unet", form))
            assert model.inputs["controlnet_cond"] == (2, 3, *(8 * side for side in model.inputs["sample"][2:]))
            assert model.outputs == [name for name in unet.inputs if name.startswith("additional_residual_")]
        case "vae_decoder" | "vae_encoder" as role:
            name, shape = model.only_input()
            made = model.prediction({name: np.zeros(shape)})[model.only_output()].shape
            assert (made, shape) == ((1, 3, 64, 64), (1, 4, 8, 8)) if role == "vae_decoder" else ((1, 8, 8, 8), (1, 3, 64, 64))
        case _:
            assert set(model.inputs) == {"clip_input", "images", "adjustment"}
            assert {"filtered_images", "has_nsfw_concepts"} <= set(model.outputs)


def test_the_first_half_of_xl_has_all_that_swift_asks_it_for(packages: Packages, tmp_path: Path) -> None:
    """The size of latents and the form of ``time_ids``; what passes and what the second half reads come together."""
    whole = packages("unet (XL)", "sdxl")
    halves = [SwiftModel(path) for path in chunk(whole, merge=False, out=tmp_path)]
    assert swift_latents(halves) == ((2, 4, 8, 8), (2, 6))
    generator = np.random.default_rng(3)
    given = {name: as_half(generator.standard_normal(shape)) for name, shape in SwiftModel(whole).inputs.items()}
    # the cut separates operations that the executor may fuse in the whole
    assert decibels(swift_noise(halves, given), swift_noise([SwiftModel(whole)], given)) > 100


def token_ids(folder: Path, role: str) -> np.ndarray:
    """Return the ids of the negative prompt and of the prompt, by transformers."""
    tokenizer = CLIPTokenizer.from_pretrained(folder / role.replace("text_encoder", "tokenizer"))
    found: np.ndarray = tokenizer([NEGATIVE, PROMPT], padding="max_length", max_length=77, truncation=True, return_tensors="np").input_ids
    return found


DRAWN: Sequence[tuple[Form, tuple[str, ...]]] = (
    ("sd1", ("text_encoder", "unet", "vae_decoder")),
    ("sd1", ("text_encoder", "control_unet", "controlnet", "vae_decoder")),
    ("sdxl", ("text_encoder", "text_encoder_2", "unet", "vae_decoder")),
)


@pytest.mark.parametrize(("form", "roles"), DRAWN, ids=["sd1", "controlled", "sdxl"])
def test_apples_python_pipeline_draws_the_sources_picture(
    form: Form, roles: tuple[str, ...], packages: Packages, model_folder: Folders, controlnet_folder: Folders
) -> None:
    """Its loop and its strict arguments around our packages, beside sdrt's own pipeline over the weights."""
    folder, ending = model_folder(form), " (XL)" if form == "sdxl" else ""
    parts = {role: PythonModel(packages(role + ending, form)) for role in roles}
    with pytest.raises(TypeError, match="timestep"):
        parts[next(role for role in roles if "unet" in role)](timestep=np.ones(2, np.float32))
    ids = {role: token_ids(folder, role) for role in roles if role.startswith("text_encoder")}
    scheduler = PNDMScheduler.from_pretrained(folder / "scheduler", skip_prk_steps=True)
    noise = as_half(np.random.RandomState(93).randn(1, 4, 8, 8))
    scale = open_model(folder).config("vae_decoder")["scaling_factor"]
    picture = np.random.default_rng(9).integers(0, 256, (1, 3, 64, 64)).astype(np.float32) / 255
    drawn = python_picture(parts, ids, scheduler, noise, steps=2, guidance=5.0, scale=scale, picture=picture)
    found = as_picture(drawn)
    options: dict[str, Any] = {"latents": noise, "num_inference_steps": 2, "guidance_scale": 5.0, "scheduler": scheduler}
    if controlled := "controlnet" in roles:
        options["control_image"] = Image.fromarray(np.rint(255 * picture[0].transpose(1, 2, 0)).astype(np.uint8))
    with sdrt.load(folder, controlnet=controlnet_folder(form) if controlled else ()) as pipe:
        wanted = pipe.generate(PROMPT, NEGATIVE, **options).images[0]
        plain = pipe.generate(PROMPT, NEGATIVE, **{**options, "latents": as_half(normal(4, 1, 4, 8, 8))}).images[0]
    # 62 dB here: inputs of every call are rounded to float16, and half of the packages compute in it
    assert psnr(found, wanted) > 55
    assert psnr(plain, wanted) < 30


@pytest.mark.parametrize("form", ["sd1", "sdxl"])
def test_apples_swift_pipeline_draws_the_same_from_resources(form: Form, packages: Packages, tmp_path: Path) -> None:
    """Its loop around our bundle, beside sdrt's own pipeline over the same folder with ``compat="apple"``."""
    ending, resource = (" (XL)", {"text_encoder_2": "TextEncoder2"}) if form == "sdxl" else ("", {})
    resource = {"text_encoder": "TextEncoder", **resource, "unet": "Unet", "vae_decoder": "VAEDecoder"}
    for role in resource:
        path = packages(role + ending, form)
        shutil.copytree(path, tmp_path / path.name)
    for file in ("vocab.json", "merges.txt", "sdrt.json"):
        shutil.copy(packages(f"unet{ending}", form).parent / file, tmp_path / file)
    chunk(next(tmp_path.glob("*_unet.mlpackage")), merge=False)
    resources = bundle(tmp_path, f"tiny-{form}", compiler=None)
    files = {name: ["UnetChunk1", "UnetChunk2"] if name == "Unet" else [name] for name in resource.values()}
    models = {name: [SwiftModel(resources / f"{each}.mlpackage") for each in halves] for name, halves in files.items()}
    timesteps, noise = [667, 334, 334, 1], np.random.RandomState(93).randn(1, 4, 8, 8)
    with sdrt.load(resources) as pipe:
        # Swift reads no configuration: it has that of 1.x
        options: Any = {"num_inference_steps": 3, "guidance_scale": 5.0, "scheduler": SD1.scheduler, "rng": "numpy", "seed": 93}
        wanted, without = (pipe.generate(PROMPT, NEGATIVE, compat=compat, **options).images[0] for compat in ("apple", None))
    rows = [in_dialect(ClipTokenizer.load(resources), "apple").encode(text) for text in (NEGATIVE, PROMPT)]
    # both tokenizers of the tests' models pad with the end token
    ids = np.array([[*row, *[row[-1]] * (77 - len(row))] for row in rows])
    encoders = [name for name in models if name.startswith("TextEncoder")]
    drawn = swift_picture(models, [ids] * len(encoders), SwiftPndm(3), timesteps, noise, guidance=5.0)
    # the same bytes here; Swift's scheduler is in float64 in our words, and a byte of it may round to the other side
    assert psnr(as_picture(drawn), wanted) > 80
    assert psnr(without, wanted) < 60
