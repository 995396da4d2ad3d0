"""What ``sdrt inspect`` says of a folder of Core ML packages."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sdrt.models.coreml import CoreMLFolder

__all__ = ["folder_lines", "folder_summary", "holds_packages"]


def holds_packages(path: Path) -> bool:
    """Return whether a folder holds the packages of a model, itself or in a folder below it.

    Raises
    ------
    SdrtError : it holds those of several models, or one half of a network
    """
    from sdrt.models.coreml.layout import find_layout

    return find_layout(path) is not None


def folder_summary(path: Path) -> dict[str, Any]:
    """Return what a model of packages is and where each of its networks lies, as JSON.

    Raises
    ------
    SdrtError : a package is damaged, or lacking
    """
    from sdrt.models import open_model
    from sdrt.models.coreml import CoreMLFolder

    model = open_model(path)
    assert isinstance(model, CoreMLFolder)  # noqa: S101  # asked only of folders that hold packages
    named: dict[str, tuple[Path, ...]] = dict(model.layout.roles.items())
    named |= {f"controlnet {name}": paths for name, paths in model.layout.controlnets.items()}
    return {
        "path": str(model.layout.path),
        "sizes": [list(size) for size in model.limits.sizes],
        "num_tokens": model.limits.num_tokens,
        "scheduler": model.scheduler_config.get("_class_name"),
        "prediction_type": model.scheduler_config.get("prediction_type", "epsilon"),
        "networks": {role: [_package(each) for each in paths] for role, paths in named.items()},
        "assumed": _assumed(model),
    }


def folder_lines(path: Path) -> list[str]:
    """Return the same in words: a line for the model, one for each package, and one for each assumption."""
    about = folder_summary(path)
    sizes = ", ".join(f"{width}x{height}" for height, width in about["sizes"]) or "several sizes"
    tokens = f", {about['num_tokens']} tokens" if about["num_tokens"] else ""
    lines = [f"{about['path']}: Core ML packages for pictures of {sizes}{tokens}; {about['scheduler']}, {about['prediction_type']}"]
    lines += [f"{role:14} {_words(each)}" for role, packages in about["networks"].items() for each in packages]
    return lines + [f"{topic}: {text}" for topic, text in about["assumed"].items()]


def _package(path: Path) -> dict[str, Any]:
    from sdrt.backends.coreml import describe

    found = describe(path)
    kinds: dict[str, int] = {}
    for function in found.functions:
        for kind, count in function.compression.items():
            kinds[kind] = kinds.get(kind, 0) + count
    inputs = {each.name: f"{each.dtype or each.kind}{each.shapes_text()}" for each in found.inputs}
    precisions = sorted({function.precision for function in found.functions})
    return {"file": path.name, "size_bytes": found.size_bytes, "precision": precisions, "compression": kinds, "inputs": inputs}


def _words(package: Mapping[str, Any]) -> str:
    compressed = "".join(f", {kind}" for kind in package["compression"])
    inputs = ", ".join(f"{name} {kind}" for name, kind in _shown(package["inputs"]))
    return f"{package['file']}, {package['size_bytes'] / 1e6:.1f} MB, {'/'.join(package['precision'])}{compressed}; {inputs}"


def _shown(inputs: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield inputs, a ControlNet's residuals in one."""
    residuals = [name for name in inputs if name.startswith("additional_residual_")]
    for name, kind in inputs.items():
        if name not in residuals:
            yield name, kind
    if residuals:
        yield f"{residuals[0]} to {len(residuals) - 1}", inputs[residuals[0]].split("[")[0]


def _assumed(model: "CoreMLFolder") -> dict[str, str]:
    return {topic: text for topic, text in model.remarks.items() if topic.startswith("assumed ")}
