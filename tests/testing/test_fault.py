"""What checks report."""

from pathlib import Path

import pytest

from sdrt.errors import ConfigError
from sdrt.testing import KINDS, Fault, fault_kinds
from tests.testing.loops.wrong_loops import WRONG_LOOPS
from tests.testing.schedulers.wrong_schedulers import WRONG
from tests.testing.streams.wrong_streams import WRONG_STREAMS
from tests.testing.tokenizers.wrong_tokenizers import WRONG_TOKENIZERS

GROUPS = (
    fault_kinds.ANYWHERE,
    fault_kinds.SCHEDULERS,
    fault_kinds.STREAMS,
    fault_kinds.TOKENIZERS,
    fault_kinds.LOOPS,
    fault_kinds.NETWORKS,
)


def test_a_fault_is_of_the_closed_list() -> None:
    assert str(Fault("raises", "a")) == "raises: a"
    with pytest.raises(ConfigError, match=r"kind of a fault must be in sdrt\.testing\.KINDS, got 'odd'"):
        Fault("odd", "a")


def test_no_kind_is_listed_twice() -> None:
    assert sum(map(len, GROUPS)) == len(KINDS)
    assert all(name.isidentifier() and name.islower() for name in KINDS)


def test_the_document_lists_every_planted_fault() -> None:
    planted = {
        *(kind for _, kind in WRONG.values()),
        *WRONG_STREAMS.values(),
        *WRONG_TOKENIZERS.values(),
        *(kind for kinds in WRONG_LOOPS.values() for kind in kinds),
    }
    document = (Path(__file__).parents[2] / "docs" / "testing.md").read_text(encoding="utf-8")
    assert {kind for kind in planted if f"`{kind}`" not in document.partition("## What is caught")[2]} == set()
    assert [len(group) for group in (WRONG, WRONG_STREAMS, WRONG_TOKENIZERS, WRONG_LOOPS)] == [29, 12, 23, 14]
