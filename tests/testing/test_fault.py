"""What checks report."""

import pytest

from sdrt.errors import ConfigError
from sdrt.testing import KINDS, Fault, fault_kinds

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
