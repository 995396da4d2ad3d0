"""Networks that phases share stay open between them, and never longer."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from sdrt.pipeline.held import Held


class Opened:
    """Notes what is opened and closed."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    @contextmanager
    def opening(self) -> Iterator[int]:
        self.notes.append("open")
        try:
            yield len(self.notes)
        finally:
            self.notes.append("close")


@pytest.mark.parametrize("uses", [1, 2, 5])
def test_it_is_opened_once_and_closed_after_its_last_use(uses: int) -> None:
    opened = Opened()
    held = Held(opened.opening, uses)
    assert opened.notes == []
    for k in range(uses):
        with held.using() as value:
            assert value == 1
            assert opened.notes == ["open"]
        assert opened.notes == (["open", "close"] if k == uses - 1 else ["open"])


def test_an_exception_closes_it_at_once() -> None:
    opened = Opened()
    held = Held(opened.opening, 3)
    with held.using():
        pass
    with pytest.raises(ZeroDivisionError), held.using():
        _ = 1 / 0
    assert opened.notes == ["open", "close"]


def test_a_loop_that_is_left_closes_it() -> None:
    opened = Opened()
    held = Held(opened.opening, 3)

    def loop() -> Iterator[int]:
        with held.using() as value:
            yield value

    left = loop()
    assert next(left) == 1
    left.close()  # type: ignore[attr-defined]
    assert opened.notes == ["open", "close"]


def test_what_cannot_be_opened_is_not_held() -> None:
    opened = Opened()

    @contextmanager
    def failing() -> Iterator[int]:
        opened.notes.append("tried")
        raise ValueError("no memory")
        yield 0

    held = Held(failing, 2)
    with pytest.raises(ValueError, match="no memory"), held.using():
        pass
    assert opened.notes == ["tried"]
