"""The tables of the ziggurat are numpy's."""

from tests.rng.generate_ziggurat import FILE, content


def test_the_tables_are_those_of_this_numpy() -> None:
    assert FILE.read_bytes() == content()
