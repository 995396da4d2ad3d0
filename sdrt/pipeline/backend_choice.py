"""Choose the backend of each component, with its options, and say so in the record."""

from collections.abc import Mapping

from sdrt.backends import Backend, BackendOptions, registry
from sdrt.backends.choosing import chosen_backend
from sdrt.errors import ConfigError
from sdrt.models import COMPONENTS, ComponentName, StoredModel, is_folder_of_packages

__all__ = ["check_programs", "check_takes_ip_adapters", "choose_backends", "own_choice", "record_notes"]

_CORE_ML = "coreml"


def choose_backends(backend: str | Backend | Mapping[str, str | Backend] | None, model: StoredModel) -> dict[ComponentName, Backend]:
    """Return the backend of each component; where nothing is said that is ``coreml`` for the programs of a model, else ``numpy``."""
    programs = _programs(model)
    if backend is None:
        backend = {}
    if not isinstance(backend, Mapping):
        one = chosen_backend(backend)
        return dict.fromkeys(COMPONENTS, one)
    if unknown := sorted(map(str, set(backend) - set(COMPONENTS))):
        raise ConfigError(f"backend must be given for components among {', '.join(COMPONENTS)}, got {', '.join(unknown)}; correct the name")
    return {component: chosen_backend(backend.get(component, _CORE_ML if component in programs else "numpy")) for component in COMPONENTS}


def check_names(backend: str | Backend | Mapping[str, str | Backend] | None) -> None:
    """Check that the backends exist, before a model is there to run on them.

    Raises
    ------
    ConfigError, BackendError : one does not, or is no backend
    """
    for each in backend.values() if isinstance(backend, Mapping) else () if backend is None else (backend,):
        chosen_backend(each)


def check_programs(model: StoredModel, chosen: Mapping[ComponentName, Backend]) -> None:
    """Check that packages run on Core ML and nothing else does, before anything is opened."""
    programs = _programs(model)
    for component in model.components:
        name = chosen[component].name
        if component in programs and name != _CORE_ML and name in registry.names():
            raise ConfigError(
                f"{model.path}: holds Core ML packages, which backend={name!r} cannot run; pass backend='coreml', or their source model"
            )
        if component not in programs and name == _CORE_ML:
            raise ConfigError(
                f"{model.path}: its {component} is no Core ML package; convert the model ('sdrt convert --model-version {model.path}') and "
                "pass the folder of packages, or choose another backend"
            )


def check_takes_ip_adapters(model: StoredModel) -> None:
    """Raise ConfigError for a model whose U-Net is a Core ML package, which takes no IP-Adapter."""
    if "unet" in _programs(model):
        raise ConfigError(f"{model.path}: holds Core ML packages, which take no IP-Adapter; pass their source model, on backend 'numpy'")


def _programs(model: StoredModel) -> frozenset[ComponentName]:
    """Return the components that are Core ML packages, if the model has them."""
    if not is_folder_of_packages(model):
        return frozenset()
    return frozenset(COMPONENTS).difference(*(override.components for override in model.overrides))


def own_choice(model: StoredModel, backend: object) -> dict[str, str]:
    """Return the remark that a backend was chosen for a model that others cannot run."""
    if backend is not None or not is_folder_of_packages(model):
        return {}
    return {"chosen backend": f"{_CORE_ML}, since {model.layout.path} holds Core ML packages"}


def record_notes(model: StoredModel, options: Mapping[ComponentName, BackendOptions]) -> dict[str, str]:
    """Return Core ML's options and its rounding of inputs, for the record."""
    if not is_folder_of_packages(model):
        return {}
    from sdrt.backends.coreml.options import recorded

    rounding = {"timesteps": "rounded to float16"} if model.limits.timestep_dtype == "float16" else {}
    return {**recorded(options["unet"]), **rounding}
