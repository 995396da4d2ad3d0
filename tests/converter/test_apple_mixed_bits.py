"""``sdrt apple mixed_bit_compression_pre_analysis`` and ``_apply`` on nano: measured, written, applied, and as good as measured."""

import errno
import json
import shutil
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from converter.compression.analysing import analyse
from converter.compression.drawing import DrawnLatents, prompts_for
from converter.compression.layer_weights import match_layers
from converter.compression.weights import find_weights
from converter.conversion import convert
from converter.metadata import OPTIONS
from converter.options import Attention, ConvertOptions
from converter.recipe_packages import _weights_of
from converter.verification.figures import psnr
from sdrt import load
from sdrt.arrays import Array, Signature
from sdrt.backends import PLAIN, BackendOptions, BoundNetwork, ComponentOptions, signature
from sdrt.backends.coreml import MLProgram, describe
from sdrt.backends.torch import TorchBackend
from sdrt.cli import main
from sdrt.models import ComponentName, HubAccess, Model
from sdrt.models.mlpackage.package import open_package

pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

# Two of nano's prompts and two widths: the whole analysis takes ten seconds.
PROMPTS, BITS = prompts_for("nano")[:2], (4, 8)


@pytest.fixture(scope="module")
def unet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # the attention that takes the least time to convert
    options = ConvertOptions(model="nano", out=tmp_path_factory.mktemp("nano"), parts=("unet",), attention=Attention.ORIGINAL, check=False)
    (package,) = convert(options).packages
    return package


@pytest.fixture(scope="module")
def analysis(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run the command, on few prompts and widths."""
    folder = tmp_path_factory.mktemp("recipes")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("converter.compression.drawing.prompts_for", lambda _: PROMPTS)
        patch.setattr("converter.compression.analysing.analyse", partial(analyse, bits=BITS))
        typed = ["--model-version", "nano", "-o", str(folder), "--num-recipes", "2"]
        assert main(["apple", "mixed_bit_compression_pre_analysis", *typed]) == 0
    return folder / "nano_palettization_recipe.json"


def run(unet: Path, analysis: Path, recipe: str, out: Path) -> int:
    typed = ["--mlpackage-path", unet, "--pre-analysis-json-path", analysis, "--selected-recipe", recipe, "-o", out]
    return main(["apple", "mixed_bit_compression_apply", *map(str, typed)])


class _PackagedUNet(BoundNetwork):
    """The U-Net of a package, two rows a call."""

    def __init__(self, described: Signature, package: Path) -> None:
        super().__init__("unet", described)
        self._program = MLProgram(package)

    def _run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        rows = range(0, len(inputs["sample"]), 2)
        text = inputs["encoder_hidden_states"].transpose(0, 2, 1)[:, :, None]
        parts = [(inputs["sample"][row : row + 2], inputs["timestep"][row : row + 2], text[row : row + 2]) for row in rows]
        names = ("sample", "timestep", "encoder_hidden_states")
        return {"noise_pred": np.concatenate([self._program.predict(dict(zip(names, part, strict=True)))["noise_pred"] for part in parts])}


class _Packaged(TorchBackend):
    """The torch backend, but for the U-Net."""

    def __init__(self, package: Path) -> None:
        super().__init__()
        self.package = package

    def open(self, component: ComponentName, model: Model, options: BackendOptions, component_options: ComponentOptions = PLAIN) -> Any:
        if component == "unet":
            return _PackagedUNet(signature(component, model.config(component), options.numerics), self.package)
        return super().open(component, model, options, component_options)


def latents(package: Path) -> Array:
    with load("nano", backend=_Packaged(package)) as pipeline:
        drawn: Array = next(pipeline.steps(PROMPTS, seed=93, num_inference_steps=1)).latents
        return drawn


def stored_bits(package: Path) -> dict[str, int]:
    """Read the number of bits of each palettized weight from the size of its palette."""
    program = open_package(package).model.program
    assert program is not None
    found = {}
    for operation in next(iter(program.functions.values())).block.operations:
        if operation.type == "constexpr_lut_to_dense":
            palette: Any = operation.attributes["lut"].type
            found[operation.outputs[0].name.removesuffix("_palettized")] = int(np.log2(palette.shape[0]))
    return found


@pytest.fixture(scope="module")
def applied(unet: Path, analysis: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the package of the recipe with the fewest bits."""
    out, name = tmp_path_factory.mktemp("applied"), min(json.loads(analysis.read_text())["recipes"])
    assert run(unet, analysis, name, out) == 0
    return out / f"{unet.stem}_{name}.mlpackage"


def recipe_of(applied: Path) -> str:
    return applied.stem[applied.stem.index("recipe_") :]


def test_the_recipe_is_in_the_package_and_draws_as_measured(unet: Path, analysis: Path, applied: Path) -> None:
    content, name = json.loads(analysis.read_text()), recipe_of(applied)
    recipe = content["recipes"][name]
    layers = match_layers(unet, recipe, dict)
    assert set(recipe.values()) > {4}
    assert stored_bits(applied) == {layers[layer].name: bits for layer, bits in recipe.items() if bits != 16}
    measured = np.mean([psnr(value, wanted) for value, wanted in zip(latents(applied), latents(unet), strict=True)])
    # the package computes in float32 here, with weights in float16: its own error is 20 dB below the recipe's
    assert measured == pytest.approx(content["sdrt"]["recipe_psnr"][name], abs=1.0)


def test_the_package_says_what_was_done_to_it(unet: Path, applied: Path) -> None:
    name = recipe_of(applied)
    before, after = (describe(path).user_defined for path in (unet, applied))
    assert {key for key in before if after[key] != before[key]} == {"sdrt.compression", OPTIONS, "sdrt.digest"}
    assert after["sdrt.compression"] == name
    assert json.loads(after[OPTIONS])["compression"] == {"kind": "Recipe", "name": name}


def test_every_layer_is_found_with_our_record_and_without(unet: Path, tmp_path: Path) -> None:
    """All 97 layers, in the package in its folder, and in one that is alone."""
    layers = _weights_of("nano", HubAccess())
    alone = tmp_path / unet.name
    shutil.copytree(unet, alone)
    recorded, numbers = match_layers(unet, layers, dict), match_layers(alone, layers, lambda: layers)
    assert len(recorded) == len({weight.name for weight in recorded.values()}) == 97
    assert recorded == numbers
    queries = recorded["mid_block.attentions.0.transformer_blocks.0.attn2.to_q"].name
    assert queries == "network_trunk_middle_transformers_0_blocks_0_attn2_q_weight_to_fp16"


def test_a_measurement_is_of_the_weights_as_they_are() -> None:
    with DrawnLatents("nano", PROMPTS[:1], min_elements=100_000) as drawing:
        assert len(drawing.elements) == 12
        # equal latents: only the two small terms of the formula are left
        assert drawing.psnr()[0] > 200
        layer = "mid_block.resnets.0.conv1"
        rough: list[float] = []
        for scale in (0.1, 0.01, 0.001):
            noise = np.random.default_rng(0).standard_normal(drawing.weight(layer).shape).astype(np.float32)
            drawing.replace({layer: drawing.every_weight()[layer] * (1 + scale * noise)})
            rough += drawing.psnr()
        # a tenth of the noise, 20 dB
        assert np.diff(rough) == pytest.approx([20, 20], abs=1.5)
        assert 60 < drawing.half_precision_psnr()[0] < 100
        assert drawing.psnr()[0] > 200


def test_a_model_that_needs_a_picture_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["apple", "mixed_bit_compression_pre_analysis", "--model-version", "nano-inpaint", "-o", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert said.startswith("sdrt: nano-inpaint: must draw from a prompt alone to be analysed, got image and mask_image must be set")
    assert not (tmp_path / "out").exists()


REFUSED: dict[str, tuple[dict[str, Any], str, str]] = {
    "another recipe": ({}, "recipe_9", "the recipe must be one of the analysis of nano, got 'recipe_9'; those there are 'r'"),
    "another model": ({"recipes": {"r": {"up_blocks.3.resnets.2.conv1": 4}}}, "r", "must have a weight for each layer of the recipe"),
    "other sizes": ({"sdrt": {"elements": {"conv_in": 11520}}}, "r", "got 1,728 weights instead of 11,520 in conv_in"),
    "an unfinished analysis": ({"recipes": {}}, "r", "those there are none: the analysis was not finished"),
}


@pytest.mark.parametrize("form", REFUSED)
def test_a_file_that_does_not_fit_is_told_in_one_line(form: str, unet: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change, recipe, reason = REFUSED[form]
    file, out = tmp_path / "x.json", tmp_path / "out"
    file.write_text(json.dumps({"model_version": "nano", "recipes": {"r": {"conv_in": 4}}, **change}))
    assert run(unet, file, recipe, out) == 2
    said = capsys.readouterr().err
    assert reason in said
    assert said.count("\n") == 1
    assert not out.exists()


def test_a_package_that_does_not_fit_is_told_in_one_line(applied: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, out = tmp_path / "x.json", tmp_path / "out"
    file.write_text(json.dumps({"model_version": "nano", "recipes": {"r": {"conv_in": 4}}}))
    assert run(tmp_path / "none.mlpackage", file, "r", out) == 2
    assert "must be an .mlpackage folder, got nothing there" in capsys.readouterr().err
    assert run(applied, file, "r", out) == 2
    assert "must be uncompressed, got compressed weights" in capsys.readouterr().err
    assert not out.exists()


def test_a_full_disk_leaves_nothing_and_a_recipe_of_another_model_is_remarked_on(
    unet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    file, out = tmp_path / "x.json", tmp_path / "out"
    file.write_text(json.dumps({"model_version": "stabilityai/other", "recipes": {"r": {"conv_in": 4}}}))
    monkeypatch.setattr("converter.recipe_packages.compress", full)
    assert run(unet, file, "r", out) == 2
    assert "writing failed (No space left on device), and nothing incomplete is left" in capsys.readouterr().err
    assert not out.exists()
    (remark,) = caplog.messages
    assert remark.endswith("is of nano, and the recipe was measured on stabilityai/other; its PSNR holds for that one")


@pytest.mark.slow
def test_the_whole_analysis_of_nano_and_its_best_recipes(unet: Path, tmp_path: Path) -> None:
    assert main(["apple", "mixed_bit_compression_pre_analysis", "--model-version", "nano", "-o", str(tmp_path)]) == 0
    content = json.loads((tmp_path / "nano_palettization_recipe.json").read_text())
    assert set(content["single_layer"]) == set(content["cumulative"]) == {"1", "2", "4", "6", "8"}
    assert len(content["recipes"]) >= 5
    psnrs = [content["sdrt"]["recipe_psnr"][name] for name in sorted(content["recipes"])]
    # more bits are better, but for neighbours
    assert np.corrcoef(range(len(psnrs)), psnrs)[0, 1] > 0.9
    assert len(find_weights(unet, 100_000)[0]) == len(next(iter(content["recipes"].values())))


@pytest.mark.parametrize("number", ["0", "-1", "99999999999"])
def test_a_number_of_recipes_that_cannot_be_is_refused_before_anything_is_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], number: str
) -> None:
    typed = ["apple", "mixed_bit_compression_pre_analysis", "--model-version", "nano", "-o", str(tmp_path / "new"), "--num-recipes", number]
    assert main(typed) == 2
    said = f"sdrt: --num-recipes must be a whole number from 1 to 1000, got {number}; leave it out for 7\n"
    assert capsys.readouterr() == ("", said)
    assert not (tmp_path / "new").exists()
