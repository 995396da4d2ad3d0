"""Settings that are declared once: keys, defaults, choices, reading and writing follow from the fields."""

import pickle
from collections.abc import Iterator
from dataclasses import MISSING, dataclass, fields, is_dataclass
from typing import Any, Literal

import pytest

import sdrt.schedulers
from sdrt.errors import ConfigError
from sdrt.schedulers import class_names, names, sampler_from_config, sampler_from_name
from sdrt.schedulers.catalogue import sampler_class
from sdrt.schedulers.core import settings
from sdrt.schedulers.core.settings import choices_of, config_of, group, keys_of, read, setting, standard, variant
from sdrt.schedulers.grids.noise_schedule import NoiseSchedule
from sdrt.schedulers.grids.timesteps import TimestepSpacing
from tests.schedulers.peers import SD


@dataclass(frozen=True, kw_only=True)
class Inner:
    kind: Literal["round", "square"] | None = setting("round", "inner_kind")
    size: float = setting(1, read=float)
    closed: bool = setting(False)
    habit: str = "own"


@dataclass(frozen=True, kw_only=True)
class Outer:
    inner: Inner = group(Inner, without=["closed"], choices={"inner_kind": ("square",)}, fixed={"habit": "outer's"}, inner_kind="square")
    schedule: NoiseSchedule = group(NoiseSchedule, without=["trained_betas"], beta_end=0.5)
    order: Literal["up", "down"] = setting("up", foreign={"ascending": "up"})
    pairs: tuple[tuple[int, ...], ...] = setting([[1, 2]], read=lambda pairs: tuple(map(tuple, pairs)))
    hidden: int = setting(3, write=lambda _: {})
    numerics: str = "float32"
    compat: str | None = None
    option: float = 0.5


class Squared(Inner):
    """A variant."""


def test_keys_have_the_defaults_of_their_fields_and_groups() -> None:
    assert keys_of(Outer) == {
        "inner_kind": "square",
        "size": 1,
        "num_train_timesteps": 1000,
        "beta_start": 0.0001,
        "beta_end": 0.5,
        "beta_schedule": "linear",
        "rescale_betas_zero_snr": False,
        "order": "up",
        "pairs": [[1, 2]],
        "hidden": 3,
    }


def test_choices_are_those_of_literals_and_of_groups() -> None:
    assert choices_of(Inner) == {"inner_kind": (None, "round", "square")}
    assert choices_of(Outer) == {
        "inner_kind": ("square",),
        "beta_schedule": ("linear", "scaled_linear", "squaredcos_cap_v2"),
        "order": ("up", "down", "ascending"),
    }


def test_a_bare_object_is_what_the_defaults_are_read_as() -> None:
    assert Outer() == read(Outer, keys_of(Outer))
    assert Outer().inner == Inner(kind="square", habit="outer's")
    assert Outer().schedule == NoiseSchedule(beta_end=0.5)


def test_values_are_read_and_written() -> None:
    made = read(Outer, {**keys_of(Outer), "order": "ascending", "size": 4, "pairs": [[5], [6]], "inner_kind": None}, "float64", "diffusers")
    assert (made.order, made.inner.size, made.pairs, made.inner.kind) == ("up", 4.0, ((5,), (6,)), None)
    assert (made.numerics, made.compat, made.option) == ("float64", "diffusers", 0.5)
    shown = {key: value for key, value in keys_of(Outer).items() if key != "hidden"}
    assert config_of(made) == {**shown, "size": 4.0, "pairs": [[5], [6]], "inner_kind": None}


def test_a_bool_may_be_null_in_json() -> None:
    assert read(Inner, {**keys_of(Inner), "closed": None}).closed is False


def test_a_variant_is_built_in_place_of_its_class(monkeypatch: pytest.MonkeyPatch) -> None:
    spacing = variant(TimestepSpacing, "diffusers")
    assert spacing.__name__ == "DiffusersTimestepSpacing"
    assert standard(spacing) is TimestepSpacing
    assert variant(TimestepSpacing, None) is TimestepSpacing
    assert variant(Inner, "diffusers") is Inner


def test_a_subclass_of_a_class_with_a_variant_needs_an_entry() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Own(TimestepSpacing):
        pass

    with pytest.raises(TypeError, match=r"Own needs an entry in VARIANTS\['diffusers'\], as its base TimestepSpacing has one"):
        variant(Own, "diffusers")


@pytest.mark.parametrize("compat", settings.COMPATS)
def test_every_entry_of_the_table_leads_to_a_subclass(compat: Any) -> None:
    for name, path in settings.VARIANTS[compat].items():
        found = settings.variant(type(name, (), {}), compat)
        assert found.__name__ == path.partition(":")[2]
        assert name in {base.__name__ for base in found.__mro__}


@pytest.mark.parametrize("class_name", class_names())
def test_a_sampler_keeps_its_settings_and_options_under_another_compat(class_name: str) -> None:
    sampler = sampler_from_config({"_class_name": class_name}, "float64")
    if "eta" in sampler.step_options:
        sampler = sampler.with_options(eta=0.25)
    other = sampler.with_compat("diffusers")
    assert (other.compat, other.numerics, other.config) == ("diffusers", "float64", sampler.config)
    assert getattr(other, "eta", None) == getattr(sampler, "eta", None)
    assert other.with_compat(None) == sampler


@pytest.mark.parametrize("row", names(), ids=lambda row: row.name)
def test_samplers_and_their_runs_are_values(row: Any) -> None:
    sampler = sampler_from_name(row.name, {"_class_name": "PNDMScheduler", **SD})
    assert pickle.loads(pickle.dumps(sampler)) == sampler  # noqa: S301  # our own
    assert hash(sampler) == hash(sampler_from_config(sampler.config))
    assert sampler_class(row.class_name).keys.keys() >= sampler.config.keys() - {"_class_name"}


def parts_of(cls: type[Any]) -> Iterator[type[Any]]:
    """Yield the classes of all that an object of this class holds, and of what those hold."""
    for each in fields(cls):
        value = each.default_factory() if each.default_factory is not MISSING else None
        if is_dataclass(value):
            yield type(value)
            yield from parts_of(type(value))


@pytest.mark.parametrize("class_name", class_names())
def test_what_a_sampler_is_built_of_is_exported(class_name: str) -> None:
    """So that one can be built in Python as well as from a configuration."""
    for part in parts_of(sampler_class(class_name)):
        assert part.__name__ in sdrt.schedulers.__all__
        assert getattr(sdrt.schedulers, part.__name__) is part


def test_apple_is_refused_to_samplers_that_it_does_not_have() -> None:
    with pytest.raises(ConfigError, match="compat must be 'diffusers' or None for HeunDiscreteScheduler, got 'apple'; leave it out"):
        sampler_from_config({"_class_name": "HeunDiscreteScheduler"}, compat="apple")
