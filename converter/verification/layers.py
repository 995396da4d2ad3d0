"""What the layers of a torch module give, for comparison with the operations that they became."""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from sdrt.arrays import Array

if TYPE_CHECKING:
    from torch import nn

__all__ = ["module_layers"]


def module_layers(module: "nn.Module", call: Callable[[Mapping[str, Array]], Any]) -> Callable[[Mapping[str, Array]], dict[str, Array]]:
    """A function from a network's inputs to the outputs of its layers, which takes as much memory as all of them together.

    Parameters
    ----------
    module : torch.nn.Module
        What was traced: its paths are in the names of the package's weights.
    call : callable
        Runs the module on the package's inputs, as the reference of a verification does.

    Returns
    -------
    callable
        Gives arrays by module path with underscores for dots: of modules that own weights, give one tensor, and are called once.
    """

    def layers(inputs: Mapping[str, Array]) -> dict[str, Array]:
        calls: Counter[str] = Counter()
        found: dict[str, Array] = {}

        def remember(name: str) -> Callable[[Any, Any, Any], None]:
            def hook(_: Any, __: Any, output: Any) -> None:
                calls[name] += 1
                if hasattr(output, "detach"):
                    found[name] = np.array(output.detach().numpy())

            return hook

        owners = [(path, each) for path, each in module.named_modules() if path and next(each.parameters(recurse=False), None) is not None]
        handles = [each.register_forward_hook(remember(path.replace(".", "_"))) for path, each in owners]
        try:
            call(inputs)
        finally:
            for handle in handles:
                handle.remove()
        return {name: value for name, value in found.items() if calls[name] == 1}

    return layers
