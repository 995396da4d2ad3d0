"""The README's promises: its commands are those of CI, its table and its links are true; tests/documents runs its code."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_readmes_two_commands_are_those_of_ci() -> None:
    first, second = re.findall(r"```sh\n(python3 -m venv .*)\n```", README)
    ci = (ROOT / ".ci/run").read_text(encoding="utf-8")
    install_and_test = second.partition(" && ")[2]
    assert "pytest" in install_and_test
    # in an environment of its own, and quieter
    assert install_and_test.replace(".venv/", '"$venv"/').replace(" install ", " install --quiet ") in ci
    draw = first.rpartition(" && ")[2]
    assert draw.startswith(".venv/bin/sdrt generate ")
    assert draw in ci


def test_ci_leaves_a_contributors_own_environment_alone() -> None:
    """What it makes or removes lies in a temporary folder."""
    ci = (ROOT / ".ci/run").read_text(encoding="utf-8")
    before, _, after = ci.partition('cd "$work/alone"\n')
    assert ".venv/" not in before
    assert "-m venv .venv" in after
    assert re.findall(r"rm -rf (\S+)", ci) == ['"$work"\'']


def test_the_readmes_scheduler_table_lists_real_names() -> None:
    from sdrt import schedulers

    known = {row.name: row for row in schedulers.names()}
    rows = re.findall(r"^\| `([^`]+)` \| (\w+)(?: \(none\))? \| (\d) \| ([\d-]) \| (yes|no) \|", README, flags=re.MULTILINE)
    assert len(rows) >= 30
    for name, class_name, calls, order, noise in rows:
        row = known[name]
        told = (class_name, int(calls), 0 if order == "-" else int(order), noise == "yes")
        assert (row.class_name, row.calls_per_step, row.order, row.stochastic) == told, name


def test_links_of_the_documents_lead_somewhere() -> None:
    followed = 0
    for document in (
        "README.md",
        "ARCHITECTURE.md",
        "CONTRIBUTING.md",
        "SECURITY.md",
        "docs/faq.md",
        "docs/how-to-add.md",
        "docs/limits.md",
        "docs/real-models.md",
        "docs/stability.md",
        "training/README.md",
    ):
        text = (ROOT / document).read_text(encoding="utf-8")
        for target in re.findall(r"\]\((?!http|#)([^)#]+)", text):
            assert ((ROOT / document).parent / target).exists(), f"{document} links to {target}"
            followed += 1
    assert followed >= 5
