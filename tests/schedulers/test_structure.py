"""What keeps samplers readable: how many files a reader enters, how deep classes go, and where compat is looked at."""

import ast
import cProfile
import pstats
from abc import ABC
from pathlib import Path

import numpy as np
import pytest

import sdrt.schedulers
from sdrt.schedulers import Grid, class_names, sampler_from_config, sampler_from_name
from sdrt.schedulers.catalogue import sampler_class
from tests.schedulers.peers import SD

ROOT = Path(sdrt.schedulers.__file__).parent


@pytest.mark.parametrize(("name", "files", "functions"), [("euler a", 7, 25), ("dpm++ 2m", 10, 40), ("unipc", 12, 50)])
def test_a_run_enters_few_files_and_functions(name: str, files: int, functions: int) -> None:
    """A plan and five steps, with the tables of the noise schedule cached; comprehensions are not counted."""
    sampler = sampler_from_name(name, {"_class_name": "PNDMScheduler", **SD})

    def run() -> None:
        plan = sampler.plan(5)
        state = sampler.start(plan, np.zeros((1, 4, 8, 8), np.float32))
        while state.position < plan.num_calls:
            state = sampler.step(plan, state, state.x, state.x if plan.draws[state.position] else None)

    run()
    profile = cProfile.Profile()
    profile.runcall(run)
    stats: dict[tuple[str, int, str], object] = pstats.Stats(profile).stats  # type: ignore[attr-defined]
    entered = {(file, function) for file, _, function in stats if Path(file).is_relative_to(ROOT) and not function.startswith("<")}
    assert len({file for file, _ in entered}) <= files, sorted(entered)
    assert len(entered) <= functions, sorted(entered)


@pytest.mark.parametrize("compat", [None, "diffusers"])
@pytest.mark.parametrize("class_name", class_names())
def test_inheritance_has_three_levels_at_most(class_name: str, compat: None) -> None:
    """Of samplers, and of grids below the abstract one."""
    sampler = sampler_from_config({"_class_name": class_name}, compat=compat)
    for cls in (type(sampler), type(sampler.grid), sampler_class(class_name)):
        levels = [base.__name__ for base in cls.__mro__ if base not in (Grid, ABC, object)]
        assert len(levels) <= 3, levels


@pytest.mark.parametrize("file", sorted(path for room in ("grids", "samplers", "steps") for path in (ROOT / room).glob("*.py")), ids=str)
def test_compat_is_looked_at_where_settings_are_read_alone(file: Path) -> None:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    names |= {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    names |= {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg | ast.keyword) and node.arg}
    assert not {name for name in names if "compat" in name.lower()}
