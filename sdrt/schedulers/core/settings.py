"""Settings, each declared once, on its field: its key in diffusers' JSON, its default and the kind of its values.

A field made by :func:`setting` is one key. A field made by :func:`group` holds a part with settings of its own (a grid, a noise schedule),
whose keys become its owner's. A field made by :func:`option` is no key. Keys, kinds, choices, reading and writing follow from the fields.
Where several keys make one field, or one key several, the part is a codec: a class with ``KEYS``, ``KINDS``, ``read(values)`` and
``config()``.

A value passes a gate of its kind twice: :func:`kinds_of` are those of JSON, which :func:`sdrt.schedulers.sampler_from_config` checks before
anything is read, and :func:`check_fields` are those of a constructor. Code behind both relies on them.

This is also the only module that reads ``compat``: :data:`VARIANTS` maps classes to those that replace them.
"""

import importlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cache
from types import MappingProxyType
from typing import Any, Literal, TypeAlias, TypeVar, cast

from sdrt.arrays import Numerics
from sdrt.errors import ConfigError
from sdrt.printable import shown
from sdrt.schedulers.core.kinds import ANY_FLAG, kind_of
from sdrt.values import Choice, Flag, Kind, Nullable

__all__ = [
    "COMPATS",
    "VARIANTS",
    "Compat",
    "Declared",
    "check_codec",
    "check_compat",
    "check_fields",
    "choices_of",
    "config_of",
    "group",
    "keys_of",
    "kinds_of",
    "option",
    "read",
    "setting",
    "standard",
    "variant",
]

# The implementation whose known bugs are reproduced. By default a sampler is correct, and its docstrings state where a reference departs.
# "diffusers" reproduces diffusers 0.42.1, "apple" Apple's Swift package ml-stable-diffusion 1.1.1, for checking a port against either.
Compat: TypeAlias = Literal["diffusers", "apple"] | None

COMPATS = ("diffusers", "apple")
_COMPAT: Kind[Compat] = Nullable(Choice(*COMPATS))

# By a class's name, the variant that is built in its place. Samplers without an entry under "apple" refuse it.
# A subclass of a class with a variant needs an entry of its own, even if that is itself.
VARIANTS: Mapping[str, Mapping[str, str]] = {
    "diffusers": {
        "TimestepSpacing": "grids.diffusers:DiffusersTimestepSpacing",
        # Euler's family
        "RatioGrid": "grids.diffusers:DiffusersRatioGrid",
        "NamedRatioGrid": "grids.ratio:NamedRatioGrid",
        "EulerGrid": "grids.diffusers:DiffusersEulerGrid",
        "MidpointGrid": "grids.diffusers:DiffusersMidpointGrid",
        "Euler": "samplers.euler_diffusers:DiffusersEuler",
        "KDPM2": "samplers.kdpm2_diffusers:DiffusersKDPM2",
        "KDPM2Ancestral": "samplers.kdpm2_ancestral_diffusers:DiffusersKDPM2Ancestral",
        "LMS": "samplers.lms_diffusers:DiffusersLMS",
        # timesteps of a table
        "DDIM": "samplers.ddim_diffusers:DiffusersDDIM",
        "DDIMInverse": "samplers.ddim_diffusers:DiffusersDDIMInverse",
        "DistilledGrid": "grids.distilled_diffusers:DiffusersDistilledGrid",
        "IPNDM": "samplers.ipndm_diffusers:DiffusersIPNDM",
        "IPNDMGrid": "samplers.ipndm_diffusers:DiffusersIPNDMGrid",
        "PNDM": "samplers.pndm_counted:DiffusersPNDM",
        "PosteriorVariance": "steps.posterior_diffusers:DiffusersPosteriorVariance",
        "TCD": "samplers.tcd_diffusers:DiffusersTCD",
        "UnCLIP": "samplers.unclip_diffusers:DiffusersUnCLIP",
        "X0Bound": "steps.bounds_diffusers:DiffusersX0Bound",
        # EDM, consistency models and flow matching
        "EDMGrid": "grids.edm_diffusers:DiffusersEDMGrid",
        "EDMDPMSolverMultistep": "samplers.dpm_diffusers:DiffusersEDMDPMSolverMultistep",
        "EDMEuler": "samplers.edm_euler_diffusers:DiffusersEDMEuler",
        "ConsistencyGrid": "grids.edm_diffusers:DiffusersConsistencyGrid",
        "FlowGrid": "grids.flow_diffusers:DiffusersFlowGrid",
        "FlowHeun": "samplers.flow_heun_diffusers:DiffusersFlowHeun",
        # DPM-Solver's family
        "SolverGrid": "grids.solver_diffusers:DiffusersSolverGrid",
        "InverseSolverGrid": "grids.solver_diffusers:DiffusersInverseSolverGrid",
        "DPMSolverMultistep": "samplers.dpm_diffusers:DiffusersDPMSolverMultistep",
        "DPMSolverMultistepInverse": "samplers.dpmsolver_multistep_inverse:DPMSolverMultistepInverse",
        "DPMSolverSinglestep": "samplers.dpm_diffusers:DiffusersDPMSolverSinglestep",
        "DEISMultistep": "samplers.dpm_diffusers:DiffusersDEISMultistep",
        "UniPCMultistep": "samplers.dpm_diffusers:DiffusersUniPCMultistep",
    },
    "apple": {
        "TimestepGrid": "grids.apple:AppleTimestepGrid",
        "PNDM": "samplers.pndm_counted:ApplePNDM",
        "SolverGrid": "grids.solver_apple:AppleSolverGrid",
        "DPMSolverMultistep": "samplers.dpmsolver_apple:AppleDPMSolverMultistep",
    },
}

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])
_KEY = "setting"  # of a field's metadata
_OPTION = "option"


def _cached(function: F) -> F:
    """Cache a function of classes, and keep its signature: mypy does not see that ``type[Any]`` can be hashed."""
    return cast("F", cache(function))


@dataclass(frozen=True, kw_only=True)
class _Setting:
    """The declaration of a field made by :func:`setting`."""

    default: Any  # in JSON
    key: str | None  # None: the field's name
    read: Callable[[Any], Any] | None
    write: Callable[[Any], Mapping[str, Any]] | None
    foreign: Mapping[Any, Any]
    kind: Kind[Any] | None

    def value(self, json_value: Any, annotation: Any) -> Any:
        """Return the field's value for a value in JSON, which is of the kind."""
        value = self.foreign.get(json_value, json_value) if self.foreign else json_value
        if self.read is not None:
            return self.read(value)
        return bool(value) if annotation is bool else value

    def json_kind(self, annotation: Any) -> Kind[Any]:
        """Return what JSON may hold."""
        kind = self.field_kind(annotation)
        if isinstance(kind, Flag):
            return ANY_FLAG
        return Choice(*kind.choices, *self.foreign) if isinstance(kind, Choice) and self.foreign else kind

    def field_kind(self, annotation: Any) -> Kind[Any]:
        """Return what the field may hold, if it holds JSON's own value."""
        return kind_of(annotation) if self.kind is None else self.kind


@dataclass(frozen=True, kw_only=True)
class _Group:
    """The declaration of a field made by :func:`group`."""

    cls: type[Any]
    without: frozenset[str]
    choices: Mapping[str, tuple[Any, ...]]
    fixed: Mapping[str, Any]
    former: Mapping[str, str]
    defaults: Mapping[str, Any]

    def keys(self) -> dict[str, Any]:
        """Return the keys that the owner gets, with their defaults."""
        return {key: value for key, value in self._all().items() if key not in self.without} | dict.fromkeys(self.former)

    def kinds(self) -> dict[str, Kind[Any]]:
        """Return what the keys that the owner gets may hold."""
        kinds = kinds_of(self.cls)
        own = {key: kind for key, kind in kinds.items() if key not in self.without}
        own |= {key: Choice(*values) for key, values in self.choices.items()}
        return own | {name: Nullable(kinds[key]) for name, key in self.former.items()}

    def _all(self) -> dict[str, Any]:
        return {**keys_of(self.cls), **self.defaults}

    def read(self, values: Mapping[str, Any], numerics: Numerics, compat: Compat) -> Any:
        """Build the part from the owner's values; keys that the owner lacks are at their defaults here."""
        own = {key: default if key in self.without else values.get(key, default) for key, default in self._all().items()}
        own |= {key: values[name] for name, key in self.former.items() if values.get(name) is not None}
        return read(self.cls, own, numerics, compat, self.fixed)

    def config(self, part: Any) -> dict[str, Any]:
        """Return the part's settings under the owner's keys."""
        written = part.config() if _is_codec(type(part)) else config_of(part)
        return {key: value for key, value in written.items() if key in keys_of(self.cls) and key not in self.without}


def setting(
    default: Any,
    key: str | None = None,
    *,
    read: Callable[[Any], Any] | None = None,
    write: Callable[[Any], Mapping[str, Any]] | None = None,
    foreign: Mapping[Any, Any] | None = None,
    kind: Kind[Any] | None = None,
) -> Any:
    """Declare a field that is one key of the configuration.

    Parameters
    ----------
    default
        As JSON has it.
    key : str
        The key, where it is not the field's name.
    read : function
        From JSON's value to the field's: ``float`` where an int may stand, ``tuple`` for lists.
    write : function
        From the field's value to the keys to be written, for values that are not JSON's own, or that are written only sometimes.
    foreign : mapping
        Values that are read as others: old spellings.
    kind : Kind
        What JSON may hold; by default what the field's type says. ``foreign`` values come on top.
    """
    declared = _Setting(default=default, key=key, read=read, write=write, foreign=foreign or {}, kind=kind)
    if read is None:
        return field(default=default, metadata={_KEY: declared})
    return field(default_factory=lambda: read(default), metadata={_KEY: declared})


def group(
    cls: type[Any],
    *,
    without: Iterable[str] = (),
    choices: Mapping[str, tuple[Any, ...]] | None = None,
    fixed: Mapping[str, Any] | None = None,
    former: Mapping[str, str] | None = None,
    **defaults: Any,
) -> Any:
    """Declare a field that holds a part with settings of its own, whose keys become the owner's.

    Parameters
    ----------
    cls : class
        A dataclass of such fields, or a codec.
    without : keys
        Keys that the owner does not have; they keep their defaults.
    choices : mapping from key
        The values that the owner allows, in place of those of ``cls``.
    fixed : mapping from field
        Fields of ``cls`` that the owner fixes.
    former : mapping from key to key
        Old names of keys: read in place of the keys, never written.
    **defaults
        Defaults of keys that differ from those of ``cls``.
    """
    declared = _Group(cls=cls, without=frozenset(without), choices=choices or {}, fixed=fixed or {}, former=former or {}, defaults=defaults)
    return field(default_factory=lambda: declared.read({}, "float32", None), metadata={_KEY: declared})


def option(default: Any, kind: Kind[Any]) -> Any:
    """Declare a field that is no key of the configuration: a step option."""
    return field(default=default, metadata={_OPTION: kind})


class Declared:
    """A class attribute that is computed from the class's fields when it is read.

    ``__init_subclass__`` is too early for it: it runs before ``@dataclass`` has made the fields. Do not annotate the attribute, or
    ``@dataclass`` reads it as early.
    """

    def __init__(self, find: Callable[[type[Any]], Mapping[str, Any]]) -> None:
        self._find = find

    def __get__(self, instance: object, owner: type[Any]) -> Mapping[str, Any]:
        return self._find(owner)


@_cached
def keys_of(cls: type[Any]) -> Mapping[str, Any]:
    """Return every key of a class's configuration with its default."""
    if _is_codec(cls):
        return MappingProxyType(dict(cls.KEYS))
    keys: dict[str, Any] = {}
    for name, _, declared in _declared(cls):
        keys |= declared.keys() if isinstance(declared, _Group) else {declared.key or name: declared.default}
    return MappingProxyType(keys)


@_cached
def kinds_of(cls: type[Any]) -> Mapping[str, Kind[Any]]:
    """Return what each key of a class's configuration may hold."""
    if _is_codec(cls):
        return MappingProxyType(dict(cls.KINDS))
    kinds: dict[str, Kind[Any]] = {}
    for name, annotation, declared in _declared(cls):
        kinds |= declared.kinds() if isinstance(declared, _Group) else {declared.key or name: declared.json_kind(annotation)}
    return MappingProxyType(kinds)


@_cached
def choices_of(cls: type[Any]) -> Mapping[str, tuple[Any, ...]]:
    """Return the allowed values of the keys that allow a few alone."""
    return MappingProxyType({key: kind.choices for key, kind in kinds_of(cls).items() if isinstance(kind, Choice)})


def check_fields(part: Any) -> None:
    """Check what an object was built with against its declarations, and replace it by plain Python values: for ``__post_init__``.

    Fields that do not hold JSON's own value (parts, and those with a ``write``) are checked by the part itself.

    Raises
    ------
    ConfigError : a value that is not of its kind
    """
    for name, key, kind in _field_kinds(type(part)):
        value = getattr(part, name)
        checked = kind.check(key, value)
        if checked is not value:
            object.__setattr__(part, name, checked)
    for name, annotation, declared in _declared(type(part)):
        if isinstance(declared, _Group) and not isinstance(getattr(part, name), annotation):
            raise ConfigError(f"{name} must be of class {declared.cls.__name__}, got {shown(getattr(part, name))}; pass such an object")


def read(
    cls: type[T],
    values: Mapping[str, Any],
    numerics: Numerics = "float32",
    compat: Compat = None,
    fixed: Mapping[str, Any] | None = None,
) -> T:
    """Build an object of a class, or of its variant, from a complete set of its keys.

    Parameters
    ----------
    fixed : mapping from field
        Fields that are not read.
    """
    actual: Any = variant(cls, compat)
    if _is_codec(actual):
        part: T = replace(actual.read(values), **(fixed or {}))
        return part
    arguments: dict[str, Any] = {}
    for name, annotation, declared in _declared(actual):
        if isinstance(declared, _Group):
            arguments[name] = declared.read(values, numerics, compat)
        else:
            arguments[name] = declared.value(values[declared.key or name], annotation)
    own = {each.name for each in fields(actual)}
    arguments |= {name: value for name, value in (("numerics", numerics), ("compat", compat)) if name in own}
    built: T = actual(**{**arguments, **(fixed or {})})
    return built


def config_of(part: Any) -> dict[str, Any]:
    """Return an object's settings under its class's keys, as JSON has them."""
    written: dict[str, Any] = {}
    for name, _, declared in _declared(type(part)):
        value = getattr(part, name)
        if isinstance(declared, _Group):
            written |= declared.config(value)
        else:
            written |= {declared.key or name: _as_json(value)} if declared.write is None else declared.write(value)
    return written


@_cached
def variant(cls: type[Any], compat: Compat) -> type[Any]:
    """Return the class that is built in place of ``cls``.

    Raises
    ------
    TypeError : a base of it has a variant and it has no entry, so that it would be built without one
    """
    if compat is None:
        return cls
    table = VARIANTS[compat]
    if (path := table.get(cls.__name__)) is not None:
        module, _, name = path.partition(":")
        other: type[Any] = getattr(importlib.import_module(f"sdrt.schedulers.{module}"), name)
        return other
    if bases := [base.__name__ for base in cls.__mro__[1:] if base.__name__ in table]:
        raise TypeError(
            f"{cls.__name__} needs an entry in VARIANTS[{compat!r}], as its base {bases[0]} has one; enter itself if none differs"
        )
    return cls


def standard(cls: type[T]) -> type[T]:
    """Return the class that ``cls`` is a variant of, or itself."""
    variants = {path.partition(":")[2]: name for table in VARIANTS.values() for name, path in table.items()}
    name = variants.get(cls.__name__, cls.__name__)
    return next(base for base in cls.__mro__ if base.__name__ == name)


def check_compat(name: str, cls: type[Any], compat: Compat) -> None:
    """Raise ConfigError if the sampler of this name cannot reproduce these bugs; every one of sdrt's can reproduce those of diffusers."""
    _COMPAT.check("compat", compat, "leave it out for correct results")
    if compat is not None and not cls.__module__.startswith("sdrt."):
        raise ConfigError(f"compat must be None for {cls.__name__}, a sampler class that is not sdrt's own, got {compat!r}; leave it out")
    if compat == "apple" and cls.__name__ not in VARIANTS["apple"]:
        raise ConfigError(f"compat must be 'diffusers' or None for {name}, got {compat!r}; leave it out, or take another sampler")


def check_codec(part: Any) -> None:
    """Do the same for a codec, whose fields are checked where they are called as a key is; its owner may allow other choices."""
    for name, kind in _codec_kinds(type(part)):
        value = getattr(part, name)
        if value is not None:
            object.__setattr__(part, name, kind.check(name, value))


@_cached
def _codec_kinds(cls: type[Any]) -> tuple[tuple[str, Kind[Any]], ...]:
    names = {each.name for each in fields(cls)}
    return tuple((key, kind) for key, kind in cls.KINDS.items() if key in names and not isinstance(kind, Choice))


@_cached
def _declared(cls: type[Any]) -> tuple[tuple[str, Any, _Setting | _Group], ...]:
    """Return name, annotation and declaration of every field that has one."""
    return tuple((each.name, each.type, each.metadata[_KEY]) for each in fields(cls) if _KEY in each.metadata)


@_cached
def _field_kinds(cls: type[Any]) -> tuple[tuple[str, str, Kind[Any]], ...]:
    """Return name, key and kind of every field that a constructor checks."""
    kinds = [(each.name, each.name, each.metadata[_OPTION]) for each in fields(cls) if _OPTION in each.metadata]
    for name, annotation, declared in _declared(cls):
        if isinstance(declared, _Setting) and declared.write is None:
            kinds.append((name, declared.key or name, declared.field_kind(annotation)))
    return tuple(kinds)


def _is_codec(cls: type[Any]) -> bool:
    return hasattr(cls, "KEYS")


def _as_json(value: Any) -> Any:
    """Return tuples as lists."""
    return [_as_json(each) for each in value] if isinstance(value, tuple) else value
