"""The other forms of a model: compiled text, pipelines, several functions."""

import random
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from sdrt.backends.coreml import MLProgram, describe
from sdrt.errors import ArrayContractError, ConfigError, ModelError, SdrtError
from sdrt.models.mlpackage.mil_text import parse_program
from tests.backends.coreml.mil_text_writer import write_compiled
from tests.backends.coreml.peer import ct

Packages = Callable[..., tuple[Path, torch.nn.Module, dict[str, torch.Tensor]]]

# The text of coremltools' own add_model.mlmodelc, shortened: the one program that Apple's compiler is known to have written.
ADD = """program(1.0)
[buildInfo = dict<tensor<string, []>, tensor<string, []>>({{"coremlc-component-MIL", "3402.3.2"}, {"coremlc-version", "3402.4.1"}})]
{
    func main<ios16>(tensor<fp16, [1, 10]> x, tensor<fp16, [1, 10]> y) {
            tensor<fp16, [1, 10]> var_3_cast_fp16 = add(x = x, y = y)[name = tensor<string, []>("op_3_cast_fp16")];
        } -> (var_3_cast_fp16);
}"""


@pytest.mark.parametrize("bare", [False, True])
@pytest.mark.parametrize("kind", ["unet", "text_encoder"])
def test_compiled_text_computes_what_the_package_computes(package: Packages, tmp_path: Path, kind: str, bare: bool) -> None:
    path, _, inputs = package(kind, "float16")
    wanted = MLProgram(path).predict(inputs)
    found = MLProgram(write_compiled(path, tmp_path / "model.mlmodelc", bare=bare)).predict(inputs)
    assert list(found) == list(wanted)
    assert all(np.array_equal(found[name], wanted[name]) for name in wanted)


def test_the_one_program_that_apples_compiler_is_known_to_have_written(tmp_path: Path) -> None:
    (tmp_path / "model.mil").write_text(ADD)
    x, y = np.ones((1, 10), np.float16), np.full((1, 10), 0.5)
    found = MLProgram(tmp_path, precision="float16").predict({"x": x, "y": y})
    assert found["var_3_cast_fp16"].dtype == np.float16
    assert found["var_3_cast_fp16"].tolist() == [[1.5] * 10]
    assert describe(tmp_path).form == "mlmodelc"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("[1, 10]> var", "[1, 11]> var", r"operation add 'var_3_cast_fp16': gives \[1, 10\] where fp16\[1,11\] is declared"),
        ("x = x, y = y", "x = x, y = z", r"uses 'z', which nothing before it makes"),
        ("x = x, y = y", "x = x, y = var_3_cast_fp16", r"uses 'var_3_cast_fp16', which nothing before it makes"),
        ("= add(", "= random_normal(", r"function 'main', operation random_normal 'var_3_cast_fp16': this operation is not supported"),
        ("x = x, y = y", "x = x, w = y", r"has no parameter w; it has x, y"),
        ("-> (var_3_cast_fp16)", "-> (var_4)", r"gives var_4, which nothing makes"),
        ("tensor<fp16, [1, 10]> y", "tensor<half, [1, 10]> y", r"line 4: 'half' is no element type"),
        ("[1, 10]> x,", "[1, 999999999999999999]> x,", r"fits into no memory"),
    ],
)
def test_mistakes_of_a_program_are_named_with_their_place(tmp_path: Path, old: str, new: str, words: str) -> None:
    assert old in ADD
    (tmp_path / "model.mil").write_text(ADD.replace(old, new))
    with pytest.raises(ModelError, match=words):
        MLProgram(tmp_path).predict({"x": np.ones((1, 10)), "y": np.ones((1, 10))})


def test_damaged_text_is_refused_or_read() -> None:
    chance = random.Random(0)
    problems = []
    for _ in range(400):
        at = chance.randrange(len(ADD))
        text = ADD[:at] + chance.choice(["", "<", ")", '"', "é", "[[[[", "0x", "-"]) + ADD[at + chance.randint(0, 9) :]
        try:
            parse_program(text, "model.mil")
        except SdrtError as error:
            problems.append(str(error))
    assert len(problems) > 200
    assert all("model.mil, line" in problem for problem in problems)


def test_pipelines_run_their_models_in_order(tmp_path: Path) -> None:
    def part(name: str, given: str, made: str, factor: float) -> Path:
        class Scale(torch.nn.Module):
            def forward(self, x: torch.Tensor) -> torch.Tensor:
                return x * factor + 1

        from tests.backends.coreml.peer import convert

        folder = tmp_path / name
        folder.mkdir()
        return convert(Scale(), {given: torch.ones(1, 3)}, (made,), folder)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        parts = (part("one", "x", "middle", 2.0), part("two", "middle", "out", 3.0))
        models = [ct.models.MLModel(str(path), skip_model_load=True) for path in parts]
        ct.utils.make_pipeline(*models).save(str(tmp_path / "both.mlpackage"))
    model = MLProgram(tmp_path / "both.mlpackage")
    assert model.predict({"x": np.array([[0.0, 1.0, 2.0]])})["out"].tolist() == [[4.0, 10.0, 16.0]]
    assert len(describe(tmp_path / "both.mlpackage").functions) == 2
    with pytest.raises(ArrayContractError, match=r"missing x"):
        model.predict({})


def test_functions_are_chosen_by_name(package: Packages, tmp_path: Path) -> None:
    path, module, inputs = package("layers", "float16", "iOS18")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        description = ct.utils.MultiFunctionDescriptor()
        for name in ("first", "second"):
            description.add_function(str(path), src_function_name="main", target_function_name=name)
        description.default_function_name = "second"
        ct.utils.save_multifunction(description, str(tmp_path / "two.mlpackage"))
    model = MLProgram(tmp_path / "two.mlpackage", function="first")
    assert sorted(model.functions) == ["first", "second"]
    wanted = module(*inputs.values()).numpy()
    assert np.abs(model.predict(inputs)["out"] - wanted).max() < 1e-2 * np.abs(wanted).max()
    assert MLProgram(tmp_path / "two.mlpackage").predict(inputs)["out"].shape == wanted.shape
    with pytest.raises(ConfigError, match=r"got 'third'"):
        MLProgram(tmp_path / "two.mlpackage", function="third")
