"""Record the outputs of a torch module's layers, for comparison with the operations converted from them."""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from sdrt.arrays import Array

if TYPE_CHECKING:
    from torch import nn

__all__ = ["module_layers"]


def module_layers(module: "nn.Module", call: Callable[[Mapping[str, Array]], Any]) -> Callable[[Mapping[str, Array]], dict[str, Array]]:
    """Return a function from a network's inputs to the outputs of its layers; it needs memory for all of them together.

    Parameters
    ----------
    module : torch.nn.Module
        The module that was traced: its paths are part of the names of the package's weights.
    call : callable
        Runs the module on the package's inputs, like the reference of a verification.

    Returns
    -------
    callable
        Returns arrays by module path, with underscores for dots: for modules that own weights, return one tensor, and are called once.
    """

    def layers(inputs: Mapping[str, Array]) -> dict[str, Array]:
        calls: Counter[str] = Counter()
        outputs: dict[str, Array] = {}

        def remember(name: str) -> Callable[[Any, Any, Any], None]:
            def hook(_: Any, __: Any, output: Any) -> None:
                calls[name] += 1
                if hasattr(output, "detach"):
                    outputs[name] = np.array(output.detach().numpy())

            return hook

        owners = [(path, each) for path, each in module.named_modules() if path and next(each.parameters(recurse=False), None) is not None]
        handles = [each.register_forward_hook(remember(path.replace(".", "_"))) for path, each in owners]
        try:
            call(inputs)
        finally:
            for handle in handles:
                handle.remove()
        return {name: value for name, value in outputs.items() if calls[name] == 1}

    return layers
