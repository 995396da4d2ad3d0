"""The tests mirror the code: a reader finds a room's tests under the room's name, and no test leans on another."""

import ast
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parent
FILES = sorted(HERE.rglob("*.py"))

# What each module at the top of tests/ is about, if it is no module of sdrt: a document, or the house as a whole.
ABOUT_THE_HOUSE = {"audit", "faq", "imports", "layout", "portability", "public_names", "readme", "soak"}
# What lies beside sdrt.
BESIDE_SDRT = {"converter", "documents", "fuzz", "training"}


def modules_imported_by(file: Path) -> set[str]:
    """Absolute names of the modules that a file imports, those among them that a ``from`` may mean."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: imports are absolute"
            found |= {str(node.module)} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def is_test_module(name: str) -> bool:
    """Whether a module of this name is a file of tests, and no library of them."""
    file = ROOT.joinpath(*name.split(".")).with_suffix(".py")
    return name.startswith("tests.") and file.name.startswith("test_") and file.is_file()


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(HERE).as_posix())
def test_nothing_imports_a_test_module(file: Path) -> None:
    """What two tests share has a module of its own, which pytest does not collect and whose name says what it is."""
    assert {name for name in modules_imported_by(file) if is_test_module(name)} == set()


def test_the_rule_above_sees_test_modules() -> None:
    assert is_test_module("tests.test_layout")
    assert not is_test_module("tests.factories")
    assert "tests.factories" in modules_imported_by(HERE / "models" / "conftest.py")


def test_each_folder_of_tests_is_named_after_a_folder_of_the_code() -> None:
    folders = {file.parent.relative_to(HERE) for file in FILES if file.name.startswith("test_")} - {Path()}
    assert {folder for folder in folders if folder.parts[0] not in BESIDE_SDRT and not (ROOT / "sdrt" / folder).is_dir()} == set()
    assert {folder for folder in folders if folder.parts[0] in BESIDE_SDRT and len(folder.parts) > 1} == set()


def test_each_room_of_the_code_has_its_tests() -> None:
    rooms = {folder.name for folder in (ROOT / "sdrt").iterdir() if (folder / "__init__.py").is_file()}
    assert {room for room in rooms if not any((HERE / room).rglob("test_*.py"))} == set()


def test_what_lies_at_the_top_is_about_a_module_or_the_house() -> None:
    names = {file.stem.removeprefix("test_") for file in HERE.glob("test_*.py")}
    assert {name for name in names - ABOUT_THE_HOUSE if not (ROOT / "sdrt" / f"{name}.py").is_file()} == set()


def test_a_library_of_tests_holds_none() -> None:
    """pytest would not collect them."""
    for file in FILES:
        if not file.name.startswith("test_"):
            defined = [node.name for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))) if isinstance(node, ast.FunctionDef)]
            assert [name for name in defined if name.startswith("test_")] == [], file
