"""A thousand hostile inputs: each is refused in one line, or accepted and well-formed.

A failure prints a case; ``python -m tests.fuzz --replay CASE`` runs it alone. More of them: ``python -m tests.fuzz --help``.
"""

import pytest

from tests.fuzz import judging, planting
from tests.fuzz.materials import Materials
from tests.fuzz.running import generators, run_case

SEED = 1
CASES = 1_000 // len(generators()) + 1
# Until a planted fault is seen; most are within ten.
PLANTED_CASES = 300


@pytest.fixture(scope="module")
def materials(tmp_path_factory: pytest.TempPathFactory) -> Materials:
    return Materials(tmp_path_factory.mktemp("materials")).make()


@pytest.mark.parametrize("name", sorted(generators()))
def test_hostile_inputs_are_refused_in_one_line_or_well_formed(name: str, materials: Materials) -> None:
    cases = [run_case(f"{name}/{SEED}/{index}", materials) for index in range(CASES)]
    wrong = [finished.report() for finished in cases if not finished.is_right]
    assert not wrong, f"{len(wrong)} of {CASES}:\n" + "\n".join(wrong)


@pytest.mark.parametrize("plant", planting.FAULTS, ids=lambda plant: plant.__name__)
def test_a_fault_that_is_planted_is_seen(plant: planting.Plant, materials: Materials, monkeypatch: pytest.MonkeyPatch) -> None:
    name, columns = planting.FAULTS[plant]
    plant(monkeypatch)
    monkeypatch.setattr(judging, "MOST_SECONDS", 1.0)
    assert any(run_case(f"{name}/{SEED}/{index}", materials).outcome.column in columns for index in range(PLANTED_CASES))
