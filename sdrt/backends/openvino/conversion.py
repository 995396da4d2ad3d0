"""From the torch module that the torch backend opens to an OpenVINO model on disk or in memory."""

import hashlib
import json
import tempfile
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sdrt.arrays import Array
from sdrt.backends import ComponentOptions
from sdrt.models import ComponentName, Model

__all__ = ["convert", "digest", "keep", "kept_names"]

_NAMES = "tensors.json"


def convert(module: Any, inputs: Mapping[str, Array]) -> Any:
    """Convert a torch module to an ``openvino.Model``.

    Parameters
    ----------
    module : torch.nn.Module
        Its ``forward`` takes inputs by name.
    inputs : mapping by name
        One call that stands for all: its operations are followed, and every size that the call could vary is left open.

    Returns
    -------
    openvino.Model : takes the same arrays in the same order
    """
    import openvino
    import torch

    from sdrt.backends.torch.extra import quiet

    names = tuple(inputs)

    class Positional(torch.nn.Module):
        """Tracing knows inputs by their place."""

        def __init__(self) -> None:
            super().__init__()
            self.module = module

        def forward(self, *arrays: torch.Tensor) -> tuple[torch.Tensor, ...]:
            outputs: tuple[torch.Tensor, ...] = self.module(**dict(zip(names, arrays, strict=True)))
            return outputs

    examples = tuple(torch.from_numpy(x.copy()) for x in inputs.values())
    # the warnings are of branches that were followed one way: the network refuses the sizes that would go another
    with quiet(), torch.no_grad():
        return openvino.convert_model(Positional(), example_input=examples)


def digest(component: ComponentName, model: Model, options: ComponentOptions) -> str:
    """Hash what a conversion depends on: configuration, every weight by its content, and the versions of the packages.

    Content, as files keep their names when a LoRA or an embedding is laid over them, and their dates when they are copied.
    """
    import diffusers
    import openvino
    import torch

    config = {name: value for name, value in model.config(component).items() if not name.startswith("_")}
    versions = [openvino.__version__, torch.__version__, diffusers.__version__]
    hasher = hashlib.blake2b(json.dumps([component, config, options.chosen(), versions], sort_keys=True).encode(), digest_size=16)
    weights = model.tensors(component)
    for name in sorted(weights):
        tensor = np.ascontiguousarray(weights[name])
        hasher.update(f"{name} {tensor.dtype} {tensor.shape}".encode())
        hasher.update(tensor.reshape(-1).view(np.uint8).data)
    return hasher.hexdigest()


def keep(converted: Any, names: Collection[str], folder: Path) -> Path:
    """Write a model to a folder that appears whole or not at all, and return its path.

    Parameters
    ----------
    converted : openvino.Model
    names : collection of str
        The tensors that it holds, by canonical name, for `kept_names`.
    folder : Path

    Another process may be as far: whoever comes second finds the folder there, and drops its own.
    """
    import openvino

    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".part-", ignore_cleanup_errors=True) as temporary:
        openvino.save_model(converted, str(Path(temporary) / "model.xml"), compress_to_fp16=False)
        (Path(temporary) / _NAMES).write_text(json.dumps(sorted(names)), encoding="utf-8")
        if not folder.exists():
            folder.mkdir()
            for name in (_NAMES, "model.bin", "model.xml"):  # the description last: with it, the model is there
                (Path(temporary) / name).replace(folder / name)
    return folder / "model.xml"


def kept_names(file: Path) -> list[str] | None:
    """Return the names of the tensors that a kept model holds; None where it was kept without them."""
    try:
        return list(json.loads((file.parent / _NAMES).read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return None
