"""Who may import whom, and what a bare `import sdrt` costs."""

import ast
import graphlib
import subprocess
import sys
from pathlib import Path

import pytest

import sdrt

ROOT = Path(sdrt.__file__).parent

# What every room may import: errors, locks that survive a fork, and the gate through which files, their values and those of callers pass.
EVERYWHERE = {"errors", "files", "forking", "json_text", "late", "limits", "log", "printable", "values"}

# The packages and modules of ARCHITECTURE.md: each may import those named here, itself, and what stands above.
MAY_IMPORT = {
    "_version": set(),
    "forking": set(),
    "late": set(),
    "log": set(),
    "printable": set(),
    "errors": {"printable"},
    "limits": {"errors", "printable"},
    "files": {"errors", "limits", "printable", "values"},
    "json_text": {"errors", "printable"},
    "values": {"errors", "printable"},
    "freeu": {"values"},
    "guidance_options": {"values"},
    "option_kinds": {"freeu", "guidance_options", "values"},
    "arrays": set(),
    "metrics": {"arrays"},
    "host": set(),
    "exact": {"arrays"},
    "npy": {"arrays"},
    "rng": {"arrays", "exact"},
    "tokenizer": {"arrays"},
    "images": {"arrays", "exact"},
    "records": {"arrays", "images", "option_kinds", "rng"},
    "guidance": {"arrays", "exact", "guidance_options"},
    "schedulers": {"rng", "arrays", "exact"},
    "prompt": {"arrays", "exact", "tokenizer"},
    "models": {"arrays", "exact", "host"},
    "backends": {"models", "arrays", "exact", "freeu", "host"},
    "recordings": {"arrays", "backends", "images", "models", "records"},
    "upscaling": {"arrays", "backends", "images", "models", "option_kinds"},
    "pipeline": {
        "_version",
        "arrays",
        "backends",
        "exact",
        "freeu",
        "guidance",
        "guidance_options",
        "images",
        "models",
        "npy",
        "option_kinds",
        "prompt",
        "recordings",
        "records",
        "rng",
        "schedulers",
        "tokenizer",
        "upscaling",
    },
    "compare": {
        "_version",
        "arrays",
        "backends",
        "host",
        "images",
        "metrics",
        "models",
        "pipeline",
        "recordings",
        "records",
        "rng",
        "schedulers",
        "tokenizer",
    },
    "testing": {
        "_version",
        "arrays",
        "backends",
        "freeu",
        "guidance",
        "images",
        "models",
        "option_kinds",
        "pipeline",
        "prompt",
        "records",
        "rng",
        "schedulers",
        "tokenizer",
    },
    "batch": {"host", "images", "option_kinds", "pipeline", "records"},
    "benchmarking": {"_version", "backends", "host", "models", "pipeline"},
    "verification": {
        "_version",
        "arrays",
        "backends",
        "exact",
        "host",
        "images",
        "models",
        "pipeline",
        "records",
        "rng",
        "schedulers",
        "tokenizer",
    },
    "cli": {
        "_version",
        "backends",
        "batch",
        "benchmarking",
        "compare",
        "images",
        "models",
        "pipeline",
        "prompt",
        "recordings",
        "records",
        "rng",
        "schedulers",
        "tokenizer",
        "upscaling",
        "verification",
    },
    "__main__": {"cli"},
}


def rooms_imported_by(file: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: imports are absolute"
            names = [f"sdrt.{alias.name}" for alias in node.names] if node.module == "sdrt" else [node.module or ""]
        found |= {name.split(".")[1] for name in names if name.startswith("sdrt.")}
    return found


@pytest.mark.parametrize("file", sorted({*ROOT.rglob("*.py")} - {ROOT / "__init__.py"}), ids=lambda file: str(file.relative_to(ROOT)))
def test_every_import_follows_the_plan(file: Path) -> None:
    room = file.relative_to(ROOT).parts[0].removesuffix(".py")
    shared = set() if room in EVERYWHERE else EVERYWHERE
    assert rooms_imported_by(file) <= MAY_IMPORT[room] | {room} | shared


# The converter uses models and their networks, no schedulers; the pipeline for the analysis of mixed bits alone, which draws.
CONVERTER_MAY_IMPORT = {"_version", "arrays", "backends", "cli", "errors", "forking", "host", "metrics", "models", "pipeline", "tokenizer"}


@pytest.mark.parametrize("file", sorted((ROOT.parent / "converter").rglob("*.py")), ids=lambda file: str(file.relative_to(ROOT.parent)))
def test_the_converter_stands_on_models_and_backends(file: Path) -> None:
    assert rooms_imported_by(file) <= CONVERTER_MAY_IMPORT | EVERYWHERE


def modules_of(package: Path) -> dict[str, Path]:
    """Every module by its dotted name; a package's face goes by the package's."""
    paths = {file: file.relative_to(package.parent).with_suffix("").parts for file in package.rglob("*.py")}
    return {".".join(parts[:-1] if parts[-1] == "__init__" else parts): file for file, parts in paths.items()}


def imports_of(name: str, modules: dict[str, Path]) -> set[str]:
    """The modules that one names anywhere, for types alone and inside functions too."""
    found = set()
    for node in ast.walk(ast.parse(modules[name].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            members = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= members & modules.keys() or {node.module or ""}
    return found & modules.keys() - {name}


@pytest.mark.parametrize("package", [ROOT, ROOT.parent / "converter"], ids=lambda package: package.name)
def test_no_modules_import_each_other_in_a_circle(package: Path) -> None:
    modules = modules_of(package)
    graph = {name: imports_of(name, modules) for name in modules}
    assert sum(map(len, graph.values())) > len(graph), "no imports were read"
    graphlib.TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


def test_sdrt_never_imports_the_converter() -> None:
    for file in ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not [name for name in names if name.split(".")[0] == "converter"], file


def test_the_converters_help_needs_no_tool() -> None:
    assert not modules_after("import converter.cli; converter.cli.parser()") & HEAVY


def modules_after(statement: str) -> set[str]:
    code = f"import sys; {statement}; print(*sys.modules)"
    return set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())


HEAVY = {"torch", "diffusers", "transformers", "tokenizers", "coremltools", "safetensors", "PIL", "tqdm", "scipy", "huggingface_hub"}


def test_import_sdrt_imports_numpy_at_most() -> None:
    added = modules_after("import sdrt") - modules_after("import numpy")
    assert not added & HEAVY
    assert {name.split(".")[0] for name in added} - set(sys.stdlib_module_names) <= {"sdrt"}


def test_a_picture_needs_no_peer() -> None:
    drawn = "import sdrt; sdrt.load('nano').generate('a red circle', seed=1, num_inference_steps=1)"
    assert not modules_after(drawn) & {"torch", "diffusers", "transformers", "tokenizers", "coremltools", "scipy"}


def test_a_picture_imports_the_sampler_that_draws_it_and_no_other() -> None:
    """Sixty files of samplers took longer to import than numpy."""
    drawn = "import sdrt; sdrt.load('nano').generate('a red circle', seed=1, num_inference_steps=1)"
    samplers = {name for name in modules_after(drawn) if name.startswith("sdrt.schedulers.samplers.")}
    assert samplers == {"sdrt.schedulers.samplers.dpmsolver_multistep"}


def test_public_names_are_complete() -> None:
    assert sorted(sdrt.__all__, key=lambda name: (not name[0].isupper(), name)) == sdrt.__all__
    for name in sdrt.__all__:
        assert getattr(sdrt, name) is not None
    with pytest.raises(AttributeError, match=r"module 'sdrt' has no attribute 'lod'"):
        sdrt.lod  # noqa: B018
