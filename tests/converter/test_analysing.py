"""The analysis of mixed bits: what is measured in which order, the file's form, interruptions, and the rule that makes recipes."""

import json
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from converter.compression.analysing import analyse
from converter.compression.clustering import palettized_values
from converter.compression.pre_analysis import PreAnalysis
from converter.compression.recipe_plot import plot_recipes
from sdrt.arrays import Array
from sdrt.errors import ConfigError, ConversionError, MissingFileError, ModelError

SIZES = {"a": 4000, "b": 3000, "c": 1000}
# How much an error in each layer's weights shows.
EFFECT = {"a": 1.0, "b": 30.0, "c": 5.0}


class Stub:
    """A network whose latents are its weights, each layer's with its own effect."""

    def __init__(self, seed: int = 0, stop_after: int | None = None) -> None:
        source = np.random.default_rng(seed)
        self.own = {name: source.standard_normal(size).astype(np.float16).astype(np.float32) for name, size in SIZES.items()}
        self.now, self.elements, self.stop_after = dict(self.own), SIZES, stop_after
        self.fingerprint = f"{seed}"
        self.seen: list[list[str]] = []

    def weight(self, path: str) -> Array:
        return self.own[path].astype(np.float16)

    def every_weight(self) -> Mapping[str, Array]:
        return self.own

    def replace(self, weights: Mapping[str, Array]) -> None:
        self.now |= {path: np.asarray(weight, np.float32) for path, weight in weights.items()}

    def restore(self) -> None:
        self.now = dict(self.own)

    def psnr(self) -> tuple[float, ...]:
        if len(self.seen) == self.stop_after:
            raise KeyboardInterrupt
        self.seen.append([path for path in SIZES if not np.array_equal(self.now[path], self.own[path])])
        noise = sum(EFFECT[path] * float(np.square(self.now[path] - self.own[path]).mean()) for path in SIZES)
        return (round(40 - 10 * np.log10(noise + 1e-9), 1), round(42 - 10 * np.log10(noise + 1e-9), 1))

    def half_precision_psnr(self) -> tuple[float, ...]:
        return (60.0, 62.0)


def run(drawing: Stub, file: Path, **changed: Any) -> PreAnalysis:
    options: dict[str, Any] = {"num_recipes": 5, "default_bits": 16, "bits": (2, 4, 8), **changed}
    return analyse(drawing, "a/model", file, **options)


def test_layers_are_replaced_alone_and_then_together_the_mildest_first(tmp_path: Path) -> None:
    drawing = Stub()
    done = run(drawing, tmp_path / "x.json")
    for at in range(0, 18, 6):
        assert drawing.seen[at : at + 3] == [["a"], ["b"], ["c"]]
    for number, width in enumerate((2, 4, 8)):
        alone = done.single_layer[width]
        order = sorted(alone, key=lambda layer: -sum(alone[layer]))
        assert list(done.cumulative[width]) == order
        together = drawing.seen[6 * number + 3 : 6 * number + 6]
        assert together == [[layer for layer in SIZES if layer in order[:count]] for count in (1, 2, 3)]
        for layer in SIZES:
            noise = EFFECT[layer] * float(np.square(palettized_values(drawing.weight(layer), width) - drawing.own[layer]).mean())
            assert alone[layer] == (round(40 - 10 * np.log10(noise + 1e-9), 1), round(42 - 10 * np.log10(noise + 1e-9), 1))
    assert drawing.now is not drawing.own
    assert all(np.array_equal(drawing.now[path], drawing.own[path]) for path in SIZES)


def test_recipes_follow_the_rule_and_each_is_measured_as_a_whole(tmp_path: Path) -> None:
    drawing = Stub()
    done = run(drawing, tmp_path / "x.json")
    assert done.baselines["original"] == 61.0
    rungs = np.linspace(done.baselines["original"] - 1, done.baselines["linear_8bit"] + 5, 5)
    wanted: dict[str, list[Mapping[str, int]]] = {}
    for rung in rungs:
        recipe: Mapping[str, int] = {
            layer: min((width for width in (2, 4, 8) if np.mean(done.cumulative[width][layer]) > rung), default=16) for layer in SIZES
        }
        mean = sum(bits * SIZES[layer] for layer, bits in recipe.items()) / 8000
        wanted.setdefault(f"recipe_{mean:.2f}_bit_mixedpalette", []).append(recipe)
    assert done.recipes.keys() == wanted.keys()
    assert len(wanted) > 1
    for name, recipe in done.recipes.items():
        assert recipe in wanted[name]
        drawing.replace(
            {layer: drawing.own[layer] if bits == 16 else palettized_values(drawing.weight(layer), bits) for layer, bits in recipe.items()}
        )
        assert done.recipe_psnr[name] == pytest.approx(np.mean(drawing.psnr()), abs=0.01)
        drawing.restore()


def test_the_file_has_the_keys_of_apples_tool(tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    done = run(Stub(), file)
    content = json.loads(file.read_text())
    assert set(content) - {"sdrt"} == {"single_layer", "cumulative", "model_version", "baselines", "recipes"}
    assert content["model_version"] == "a/model"
    assert set(content["baselines"]) == {"original", "linear_8bit"}
    assert content["single_layer"]["4"]["a"] == list(done.single_layer[4]["a"])
    assert content["recipes"] == done.recipes
    assert PreAnalysis.read(file) == done


@pytest.mark.parametrize("stop_after", [0, 2, 5, 17])
def test_an_interrupted_analysis_goes_on_where_it_ended(tmp_path: Path, stop_after: int) -> None:
    whole = run(Stub(), tmp_path / "whole.json")
    file = tmp_path / "x.json"
    with pytest.raises(KeyboardInterrupt):
        run(Stub(stop_after=stop_after), file)
    assert file.exists() == (stop_after > 0)
    second = Stub()
    assert run(second, file) == whole
    # 18 measurements, int8, and one for each recipe
    assert len(second.seen) == 18 - stop_after + 1 + len({tuple(recipe.items()) for recipe in _every_recipe(whole)})
    third = Stub()
    assert run(third, file) == whole
    assert len(third.seen) == len(second.seen) - (18 - stop_after)


def _every_recipe(done: PreAnalysis) -> list[Mapping[str, int]]:
    return list(done.recipes.values())


def test_measurements_of_something_else_are_refused_and_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    run(Stub(seed=1), file)
    before = file.read_bytes()
    with pytest.raises(ConversionError, match="must hold measurements of this model, got those of other weights or prompts"):
        run(Stub(), file)
    assert file.read_bytes() == before
    file.write_text(json.dumps({"model_version": "a/model", "single_layer": {}, "recipes": {}}))
    with pytest.raises(ConversionError, match="got those of Apple's tool; choose another folder"):
        run(Stub(), file)


def test_a_folder_that_cannot_be_written_to_ends_the_analysis_at_its_first_figure(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    drawing = Stub()
    with pytest.raises(ConversionError, match="must be a folder to write to, got File exists"):
        run(drawing, tmp_path / "file" / "x.json")
    assert len(drawing.seen) == 1


def test_the_plot_is_drawn_where_matplotlib_is_installed(tmp_path: Path) -> None:
    file = tmp_path / "x_palettization_recipe.json"
    plot = plot_recipes(run(Stub(), file), file)
    if find_spec("matplotlib") is None:
        assert plot is None
        assert [path.name for path in tmp_path.iterdir()] == [file.name]
    else:
        assert plot == tmp_path / "x_palettization_recipe_psnr_vs_size.png"
        assert plot.read_bytes().startswith(b"\x89PNG")


WRONG = {
    "not JSON": ("{", "not readable as JSON"),
    "no model": ("{}", "must name its model under model_version"),
    "other bits": ('{"model_version": "x", "recipes": {"r": {"a": 5}}}', "recipes must be a mapping whose values are each"),
    "bits as text": ('{"model_version": "x", "recipes": {"r": {"a": "4"}}}', "recipes must be a mapping whose values are each"),
    "no numbers": ('{"model_version": "x", "single_layer": {"2": {"a": ["x"]}}, "sdrt": {}}', "single_layer must be"),
    "no width": ('{"model_version": "x", "cumulative": {"3": {}}, "sdrt": {}}', "numbers of bits must be 1, 2, 4, 6, 8, got '3'"),
}


@pytest.mark.parametrize("form", WRONG)
def test_a_file_of_something_else_is_one_error(tmp_path: Path, form: str) -> None:
    text, reason = WRONG[form]
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(ModelError, match=reason):
        PreAnalysis.read(tmp_path / "x.json")


def test_a_missing_file_or_recipe_is_told(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="must be the file of an analysis, got none; pass a file that"):
        PreAnalysis.read(tmp_path / "x.json")
    with pytest.raises(MissingFileError, match="must be the file of an analysis, got a folder"):
        PreAnalysis.read(tmp_path)
    analysis = PreAnalysis(model="x", recipes={"recipe_4.00_bit_mixedpalette": {}, "../up": {}})
    with pytest.raises(ConfigError, match=r"got 'recipe_5'; those there are '../up', 'recipe_4.00_bit_mixedpalette'"):
        analysis.recipe("recipe_5")
    with pytest.raises(ConfigError, match="must be of letters, digits, dots and dashes"):
        analysis.recipe("../up")
    with pytest.raises(ConfigError, match="none: the analysis was not finished; run it again"):
        PreAnalysis(model="x").recipe("recipe_5")
