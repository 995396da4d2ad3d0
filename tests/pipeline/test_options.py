"""The options of a call: signatures, docstring, dictionary and table agree, and the grouped forms mean the same as the plain ones."""

import ast
import inspect
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Unpack, get_args, get_type_hints

import numpy as np
import pytest

import sdrt
from sdrt import schedulers
from sdrt.errors import ConfigError
from sdrt.pipeline.option_table import OPTIONS
from sdrt.pipeline.options import GenerateOptions, OldSpellings, SchedulerName, plain_options
from tests.factories import save_pipeline_folder
from tests.fake_backend import FakeBackend

NAMES = list(GenerateOptions.__annotations__)
BESIDE = ["self", "prompt", "negative_prompt", "on_step", "on_progress", "old_spellings"]


@pytest.fixture(scope="module")
def pipe(tmp_path_factory: pytest.TempPathFactory) -> sdrt.Pipeline:
    return sdrt.load(save_pipeline_folder(tmp_path_factory.mktemp("model") / "sd1"), FakeBackend())


def annotations_of(file: Path, owner: str) -> dict[str, str]:
    """The annotations of a class, or of a method ``Class.method``, as they are written in the source, quotes left out."""
    name, _, method = owner.partition(".")
    [found] = [node for node in ast.parse(file.read_text()).body if isinstance(node, ast.ClassDef) and node.name == name]
    if not method:
        pairs = [(node.target, node.annotation) for node in found.body if isinstance(node, ast.AnnAssign)]
        return {ast.unparse(target): written(annotation) for target, annotation in pairs}
    [function] = [node for node in found.body if isinstance(node, ast.FunctionDef) and node.name == method]
    return {argument.arg: written(argument.annotation) for argument in function.args.kwonlyargs}


def written(annotation: ast.expr | None) -> str:
    return ast.unparse(annotation).strip("'") if annotation is not None else ""


def test_generate_names_each_option_with_its_type() -> None:
    parameters = inspect.signature(sdrt.Pipeline.generate).parameters
    assert [name for name in parameters if name not in BESIDE] == NAMES
    assert all(parameters[name].kind is inspect.Parameter.KEYWORD_ONLY for name in NAMES)
    dictionary = annotations_of(Path(inspect.getfile(GenerateOptions)), "GenerateOptions")
    signature = annotations_of(Path(inspect.getfile(sdrt.Pipeline)), "Pipeline.generate")
    assert {name: signature[name] for name in NAMES} == dictionary


@pytest.mark.parametrize("call", [sdrt.Pipeline.steps, sdrt.Pipeline.resolve], ids=lambda call: call.__name__)
def test_the_other_calls_take_the_same_options(call: Callable[..., Any]) -> None:
    assert get_type_hints(call)["options"] == Unpack[GenerateOptions]


def test_the_docstring_documents_each_option_in_order() -> None:
    text = inspect.getdoc(sdrt.Pipeline.generate) or ""
    parameters = text.partition("Parameters\n----------\n")[2].partition("\nReturns\n")[0]
    documented = re.findall(r"^(\w+) : (.+)\n    \S", parameters, re.MULTILINE)
    assert [name for name, _ in documented] == ["prompt", "negative_prompt", "on_step", "on_progress", *NAMES]
    defaults = {name: inspect.signature(sdrt.Pipeline.generate).parameters[name].default for name in NAMES}
    for name, kind in documented[4:]:
        assert kind.endswith((", optional", "or None")) == (defaults[name] is None), name


def test_the_table_has_a_row_for_each_option_and_no_flag_twice() -> None:
    assert set(OPTIONS) == set(NAMES)
    flags = [flag for option in OPTIONS.values() for flag in option.flags]
    assert len(flags) == len(set(flags))
    fields = sdrt.Settings.__dataclass_fields__
    for option in OPTIONS.values():
        assert (option.kind == "group") == (not option.record)
        assert option.kind == "group" or option.record.partition(".")[0] in fields, option.name


@pytest.mark.parametrize("name", [name for name, option in OPTIONS.items() if option.choices])
def test_the_choices_are_those_of_the_type(name: str) -> None:
    written = annotations_of(Path(inspect.getfile(GenerateOptions)), "GenerateOptions")[name]
    alias = getattr(sdrt, written.partition(" | ")[0])
    literal = next((arm for arm in get_args(alias) if get_args(arm)), alias)
    assert get_args(literal) == OPTIONS[name].choices


def test_the_names_of_schedulers_are_those_of_the_table() -> None:
    assert get_args(SchedulerName) == tuple(row.name for row in schedulers.names())


def test_the_table_costs_no_import() -> None:
    code = "import sys, sdrt.pipeline.option_table; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"numpy", "sdrt.schedulers", "sdrt.pipeline.pipeline"} & set(loaded)


def test_each_type_of_a_public_signature_is_exported() -> None:
    """What a signature names, a caller can name too; arrays are numpy's."""
    files: list[Any] = [sdrt.Pipeline, sdrt.Result, sdrt.GenerateOptions, sdrt.load]
    found = set()
    for file in {Path(inspect.getfile(each)) for each in files}:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_") and ast.get_docstring(node):
                arguments = [*node.args.args, *node.args.kwonlyargs, *filter(None, [node.args.kwarg])]
                for annotation in [each.annotation for each in arguments] + [node.returns]:
                    found |= set(re.findall(r"\b[A-Z]\w+", written(annotation)))
    arrays = {"Array", "Float"}
    standard = {"Any", "Callable", "Image", "Iterable", "Iterator", "Mapping", "None", "Path", "Self", "Sequence", "Unpack"}
    assert found >= {"ControlNetInput", "Emphasis", "Numerics", "Result", "Settings", "Step"}
    assert found - standard - arrays <= set(sdrt.__all__)


# ---- other forms


def test_none_is_the_same_as_leaving_an_option_out(pipe: sdrt.Pipeline) -> None:
    nothing: dict[str, Any] = dict.fromkeys(set(NAMES) - {"seed"})
    assert pipe.resolve("a", seed=1, **nothing) == pipe.resolve("a", seed=1)


def test_resolve_says_what_generate_records(pipe: sdrt.Pipeline) -> None:
    options: dict[str, Any] = {"seed": 3, "scheduler": "euler a", "eta": 0.5, "num_inference_steps": 2}
    assert pipe.resolve("a", "b", **options) == pipe.generate("a", "b", **options).settings


def test_old_spellings_are_the_ones_that_the_pipeline_takes(pipe: sdrt.Pipeline) -> None:
    assert set(OldSpellings.__annotations__) == {"cfg"}
    with pytest.raises(ConfigError, match=r"^unknown option gamma; the options are seed, subseed, .*, compat$"):
        pipe.resolve("a", gamma=1)  # type: ignore[call-arg]


def test_sizes_in_one_object_are_the_five_options() -> None:
    sizes = sdrt.SDXLSizes(original_size=(512, 768), aesthetic_score=7.0)
    assert plain_options({"sizes": sizes, "seed": 1}) == {"original_size": (512, 768), "aesthetic_score": 7.0, "seed": 1}


def test_a_controlnet_in_one_object_is_the_seven_options() -> None:
    one, two = np.zeros((8, 8), np.uint8), np.ones((8, 8), np.uint8)
    mixed = plain_options({"control_image": [sdrt.ControlNetInput(image=one, conditioning_scale=0.5, guidance_end=0.6), two]})
    assert mixed == {
        "control_image": [one, two],
        "controlnet_conditioning_scale": (0.5, 1.0),
        "control_guidance_start": (0.0, 0.0),
        "control_guidance_end": (0.6, 1.0),
        "control_mode": ("balanced", "balanced"),
        "control_preprocessor": ("none", "none"),
    }
    alone = plain_options({"control_image": sdrt.ControlNetInput(image=one)})
    assert alone["control_image"] == [one]
    assert plain_options({"control_image": two}) == {"control_image": two}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"sizes": sdrt.SDXLSizes(target_size=(64, 64)), "target_size": (8, 8)},
            r"target_size must be given once, got a second value in sizes; leave one of them out",
        ),
        (
            {"control_image": sdrt.ControlNetInput(image=np.zeros((8, 8), np.uint8)), "control_guidance_end": 0.5},
            r"control_guidance_end must be given once, got a second value in control_image",
        ),
        ({"sizes": (64, 64)}, r"sizes must be an sdrt\.SDXLSizes, got tuple; write sdrt\.SDXLSizes"),
    ],
    ids=["sizes", "control", "no sizes"],
)
def test_what_is_said_twice_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        plain_options(options)


def test_a_recorded_state_is_a_stream(pipe: sdrt.Pipeline) -> None:
    stream = sdrt.rng.stream("nv", 7)
    stream.normal(100)
    state = stream.state
    options: dict[str, Any] = {"num_inference_steps": 2, "scheduler": "euler a"}
    by_stream = pipe.generate("a", rng=stream, **options)
    for _ in range(2):
        by_state = pipe.generate("a", rng=state, **options)
        assert by_state.latents.tobytes() == by_stream.latents.tobytes()
        assert by_state.settings == by_stream.settings
