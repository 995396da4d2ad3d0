"""The checks of a change, each in an environment of its own: ``pip install nox``, then ``nox -s test-fast`` or just ``nox``.

``bash .ci/run`` runs all of them in a fresh environment; a change must pass it.
"""

import sys
from pathlib import Path

import nox

nox.needs_version = ">=2024.10.9"
nox.options.sessions = ["lint", "types", "test-fast"]
nox.options.reuse_existing_virtualenvs = True

ROOT = Path(__file__).parent
PYTHONS = ["3.11", "3.12", "3.13", "3.14"]
PINNED = ("-c", "constraints.txt")
# About a minute: schedulers and noise, the numpy backend, the pipeline over fake networks, the command line, imports and layout.
FAST = (
    *(f"tests/{room}" for room in ("rng", "schedulers", "guidance", "images", "records", "backends/numpy", "cli")),
    *(
        "tests/pipeline/test_noise.py",
        "tests/pipeline/test_pipeline.py",
        "tests/test_arrays.py",
        "tests/test_imports.py",
        "tests/test_layout.py",
    ),
    "--ignore=tests/schedulers/test_compat.py",
)
# coremltools has wheels for Linux and macOS, up to Python 3.13: elsewhere, the converter and the tests that need it cannot run.
WITHOUT_COREMLTOOLS = [
    f"--ignore={path}" for path in ("converter", "tests/converter", "tests/backends/coreml", "tests/pipeline/test_coreml_folders.py")
]
# The oldest numpy that has wheels for each Python and that pyproject.toml allows.
OLDEST_NUMPY = {"3.11": "2.0.0", "3.12": "2.0.0", "3.13": "2.1.0", "3.14": "2.3.2"}


def chosen_numpy(session: nox.Session, numpy: str) -> str:
    """Return the requirement for pip."""
    return f"numpy=={OLDEST_NUMPY[str(session.python)]}" if numpy == "oldest" else "numpy"


@nox.session
def fmt(session: nox.Session) -> None:
    """Format the code with ruff, and apply its fixes."""
    session.install("ruff>=0.14")
    session.run("ruff", "check", "--fix", ".")
    session.run("ruff", "format", ".")


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and format with ruff, without changing files."""
    session.install("ruff>=0.14")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def types(session: nox.Session) -> None:
    """Check the types of code and tests strictly."""
    session.install(*PINNED, "-e", ".[test,dev]")
    session.run("mypy")


@nox.session
def test(session: nox.Session) -> None:
    """Run all tests except the slow ones; ``nox -s test -- -m slow`` runs those."""
    session.install(*PINNED, "-e", ".[test]")
    session.run("pytest", *session.posargs)


@nox.session(python=PYTHONS)
@nox.parametrize("numpy", ["oldest", "newest"])
def matrix(session: nox.Session, numpy: str) -> None:
    """Run the tests on each Python with the oldest and the newest numpy: ``nox -s "matrix-3.12(numpy='oldest')"``."""
    session.install(*PINNED, "-e", ".[test]", chosen_numpy(session, numpy))
    lacks_coremltools = sys.platform == "win32" or session.python == "3.14"
    session.run("pytest", *(WITHOUT_COREMLTOOLS if lacks_coremltools else ()), *session.posargs)


@nox.session(name="test-fast")
def test_fast(session: nox.Session) -> None:
    """Run the fast tests, in about a minute."""
    session.install(*PINNED, "-e", ".[test]")
    session.run("pytest", *FAST, *session.posargs)


@nox.session
def coverage(session: nox.Session) -> None:
    """Run all tests and report line and branch coverage of both packages."""
    session.install(*PINNED, "-e", ".[test]", "pytest-cov>=6.0")
    session.run("pytest", "--cov", "--cov-report=term:skip-covered", *session.posargs)


@nox.session
def openvino(session: nox.Session) -> None:
    """Run the plug-in's own tests with OpenVINO, and the checks of any backend over it."""
    session.install(*PINNED, "-e", ".[test,openvino]")
    session.run("pytest", "tests/backends/openvino", *session.posargs)
    session.run("pytest", "tests/testing/networks/test_own_backends.py", "-m", "slow", "-k", "openvino", *session.posargs)


@nox.session(python=PYTHONS, name="numpy-alone")
@nox.parametrize("numpy", ["oldest", "newest"])
def numpy_alone(session: nox.Session, numpy: str) -> None:
    """Import with numpy alone, then draw a picture with the declared dependencies, on the oldest and the newest numpy."""
    session.install(chosen_numpy(session, numpy))
    session.install("--no-deps", ".")
    session.chdir(session.create_tmp())
    session.run("python", "-c", "import sdrt; print(sdrt.rng.stream('torch', 93).normal(4), sdrt.schedulers.make('euler a'))")
    session.install(str(ROOT), chosen_numpy(session, numpy))
    session.run("sdrt", "generate", "a red circle on a blue background", "--seed", "93", "-o", "circle.png")
    session.run("sdrt", "inspect", "circle.png")
