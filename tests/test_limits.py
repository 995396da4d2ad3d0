"""Limits of amounts: stated, named in the message, and raised by whoever needs more."""

from dataclasses import fields

import pytest

from sdrt.errors import ConfigError, ModelError
from sdrt.limits import DEFAULT_LIMITS, Limits


@pytest.mark.parametrize("name", [field.name for field in fields(Limits)])
def test_each_limit_admits_itself_and_names_itself_one_above(name: str) -> None:
    most = getattr(DEFAULT_LIMITS, name)
    DEFAULT_LIMITS.check(name, "it", most)
    with pytest.raises(ModelError, match=rf"^it must be at most {most}, got {most + 1}; .*Limits\({name}={most + 1}\)\)$"):
        DEFAULT_LIMITS.check(name, "it", most + 1, ModelError)
    Limits(**{name: most + 1}).check(name, "it", most + 1)


@pytest.mark.parametrize("value", [0, -1, 1.0, "10", None, True])
def test_a_limit_is_a_whole_number_above_0(value: object) -> None:
    with pytest.raises(ConfigError, match="the limit images must be a whole number above 0, got"):
        Limits(images=value)  # type: ignore[arg-type]


def test_an_amount_of_thousands_of_digits_is_refused_too() -> None:
    with pytest.raises(ConfigError, match="more than 20 digits"):
        DEFAULT_LIMITS.check("images", "num_images", 10**5000)
