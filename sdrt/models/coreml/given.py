"""What a caller tells of a model whose packages come alone: ``load(..., config=...)``."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sdrt.errors import ConfigError
from sdrt.models.components import COMPONENTS, SUBFOLDERS, ComponentName
from sdrt.models.configs import with_defaults
from sdrt.models.json_file import read_json

__all__ = ["GivenConfigs", "read_given"]


@dataclass(frozen=True, kw_only=True)
class GivenConfigs:
    """Configurations in diffusers' terms, each where it was given.

    Parameters
    ----------
    scheduler : mapping or None
    components : mapping by component
    """

    scheduler: Mapping[str, Any] | None = None
    components: Mapping[ComponentName, Mapping[str, Any]] = field(default_factory=dict)


def read_given(config: str | Path | Mapping[str, Any] | None) -> GivenConfigs:
    """Read what ``config`` means.

    Parameters
    ----------
    config : path, mapping or None
        A folder in diffusers' layout, whose ``config.json`` and ``scheduler_config.json`` files are read where they are; one such
        scheduler's file; a mapping with the folder's names as keys (``scheduler``, ``unet``, ``vae``); or a scheduler's configuration.

    Raises
    ------
    ConfigError : something else
    """
    if config is None:
        return GivenConfigs()
    if isinstance(config, Mapping):
        return _from_mapping(config)
    path = Path(config).expanduser()
    if path.is_file():
        return _from_mapping(read_json(path))
    if not path.is_dir():
        raise ConfigError(f"config is a folder in diffusers' layout, a scheduler_config.json or a mapping; got {str(config)!r}")
    files = {SUBFOLDERS[component]: path / SUBFOLDERS[component] / "config.json" for component in COMPONENTS}
    scheduler = path / "scheduler" / "scheduler_config.json"
    found = {name: read_json(file) for name, file in files.items() if file.is_file()}
    if scheduler.is_file():
        found["scheduler"] = read_json(scheduler)
    if not found:
        raise ConfigError(
            f"{path}: has no scheduler/scheduler_config.json and no component's config.json; pass a folder in diffusers' layout"
        )
    return _from_mapping(found)


def _from_mapping(config: Mapping[str, Any]) -> GivenConfigs:
    if str(config.get("_class_name", "")).endswith("Scheduler"):
        return GivenConfigs(scheduler=config)
    known = ("scheduler", *dict.fromkeys(SUBFOLDERS.values()))
    if unknown := sorted(set(config) - set(known)):
        raise ConfigError(f"config has the keys {', '.join(known)}, or is a scheduler's configuration with _class_name; got {unknown[0]!r}")
    components = {
        component: with_defaults(component, config[SUBFOLDERS[component]]) for component in COMPONENTS if SUBFOLDERS[component] in config
    }
    return GivenConfigs(scheduler=config.get("scheduler"), components=components)
