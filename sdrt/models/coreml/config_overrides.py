"""What a caller tells of a model whose packages come alone: ``load(..., config=...)``."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sdrt.errors import ConfigError
from sdrt.files import exists, is_file, is_folder, user_path
from sdrt.limits import DEFAULT_LIMITS, Limits
from sdrt.models.components import COMPONENTS, ComponentName
from sdrt.models.json_file import read_json
from sdrt.printable import shown
from sdrt.values import Anything, MappingOf, read_values

__all__ = ["ConfigOverrides", "read_config_overrides"]

_FOLDERS = tuple(dict.fromkeys(component.folder for component in COMPONENTS.values()))


@dataclass(frozen=True, kw_only=True)
class ConfigOverrides:
    """Configurations in diffusers' terms, each where it was given.

    Parameters
    ----------
    scheduler : mapping or None
    components : mapping by component
    """

    scheduler: Mapping[str, Any] | None = None
    components: Mapping[ComponentName, Mapping[str, Any]] = field(default_factory=dict)


def read_config_overrides(config: str | Path | Mapping[str, Any] | None, limits: Limits = DEFAULT_LIMITS) -> ConfigOverrides:
    """Read what ``config`` means.

    Parameters
    ----------
    config : path, mapping or None
        A folder in diffusers' layout, whose ``config.json`` and ``scheduler_config.json`` files are read where they are; one such
        scheduler's file; a mapping with the folder's names as keys (``scheduler``, ``unet``, ``vae``); or a scheduler's configuration.
    limits : Limits

    Raises
    ------
    ConfigError : something else
    """
    if config is None:
        return ConfigOverrides()
    if isinstance(config, Mapping):
        return _from_mapping(config, "config", limits)
    path = user_path("config", config)
    if is_file(path):
        return _from_mapping(read_json(path, limits), str(path), limits)
    if not is_folder(path):
        raise ConfigError(
            f"config must be a folder in diffusers' layout, a scheduler_config.json or a mapping, got {str(config)!r}; pass one of those"
        )
    files = {folder: path / folder / "config.json" for folder in _FOLDERS}
    scheduler = path / "scheduler" / "scheduler_config.json"
    configs = {name: read_json(file, limits) for name, file in files.items() if exists(file)}
    if exists(scheduler):
        configs["scheduler"] = read_json(scheduler, limits)
    if not configs:
        raise ConfigError(
            f"{path}: has no scheduler/scheduler_config.json and no component's config.json; pass a folder in diffusers' layout"
        )
    return _from_mapping(configs, str(path), limits)


def _from_mapping(config: Mapping[str, Any], where: str, limits: Limits) -> ConfigOverrides:
    if str(config.get("_class_name", "")).endswith("Scheduler"):
        return ConfigOverrides(scheduler=config)
    known = ("scheduler", *_FOLDERS)
    if unknown := sorted(map(str, set(config) - set(known))):
        raise ConfigError(
            f"config must have keys among {', '.join(known)}, or be a scheduler's configuration, got {shown(unknown[0])}; leave it out"
        )
    given = read_values(f"{where}: ", config, dict.fromkeys(known, MappingOf(Anything())))
    components = {
        name: each.complete(given[each.folder], f"{where}: {each.folder}", limits)
        for name, each in COMPONENTS.items()
        if each.folder in given
    }
    return ConfigOverrides(scheduler=given.get("scheduler"), components=components)
