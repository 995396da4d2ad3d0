"""Map the module paths of diffusers to the values of a converted program.

torch's trace names the module of each operation, and coremltools keeps torch's name of the value that an operation computes. The last
value within a module is what it gives. A module whose value the program computes in another form, or not at all, is left out.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from torch import nn

from sdrt.backends.torch.adapter import Adapter
from sdrt.backends.torch.tracing import module_paths
from sdrt.models.coreml.names import Role
from sdrt.models.coreml.traced_values import TracedValue, ValueLayout

__all__ = ["map_values"]

# A name and a shape.
_Value: TypeAlias = tuple[str, tuple[Any, ...]]

# Operations of torch that leave a value as it is here, so that coremltools drops them.
_NO_OPERATION = ("aten::contiguous", "aten::div", "aten::dropout", "aten::to")

# The paths of rewritten networks, piece by piece, and diffusers' own.
_RENAMED = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"^trunk\.", ""),
        (r"^time\.time_waves$", "time_proj"),
        (r"^time\.number_waves$", "add_time_proj"),
        (r"^time\.guidance$", "time_embedding.cond_proj"),
        (r"^time\.time_layers\b", "time_embedding"),
        (r"^time\.added_layers\b", "add_embedding"),
        (r"^(time|add)_embedding\.first$", r"\1_embedding.linear_1"),
        (r"^(time|add)_embedding\.second$", r"\1_embedding.linear_2"),
        (r"^embedding\b", "controlnet_cond_embedding"),
        (r"^(controlnet_cond_embedding)\.convs\.0$", r"\1.conv_in"),
        (r"^down_stages\b", "down_blocks"),
        (r"^middle\b", "mid_block"),
        (r"^up_stages\b", "up_blocks"),
        (r"^norm_out$", "conv_norm_out"),
        (r"\.residual_blocks\.", ".resnets."),
        (r"\.transformers\.", ".attentions."),
        (r"\.blocks\.", ".transformer_blocks."),
        (r"\.time$", ".time_emb_proj"),
        (r"\.shortcut$", ".conv_shortcut"),
        (r"\.(down|up)sampler\b.*$", r".\1samplers.0"),
        (r"\.(attn\d)\.(k|v)$", r".\1.to_\2"),
        (r"\.(attn\d)\.out$", r".\1.to_out.0"),
        (r"\.ff\.inner$", ".ff.net.0.proj"),
        (r"\.ff\.outer$", ".ff.net.2"),
    )
)
# Modules whose values are not diffusers': queries are scaled before they are multiplied, and the embedding has gone through SiLU.
_OTHER_VALUES = re.compile(r"|time|.*\.attn\d\.q")


def map_values(role: Role, module: nn.Module, traced: Any, program: Any) -> dict[str, TracedValue]:
    """Map diffusers' module paths to values of a program.

    Parameters
    ----------
    role : Role
    module : nn.Module
        The traced module: around the source's adapter, or around a rewritten network.
    traced : torch.jit.ScriptModule
    program : coremltools' Program
        Not yet let go of by its model.
    """
    places = _places(role, module)
    operations = _operations(program)
    entries: dict[str, TracedValue] = {}
    for path, values in _values(traced).items():
        computed = (name for value, shape in values for name, own in reversed(operations.get(value, ())) if _agree(shape, own))
        if (name := next(computed, None)) is not None:
            entries |= {place: TracedValue(name, layout) for place, layout in places.get(path, ())}
    return entries


def _places(role: Role, module: nn.Module) -> dict[str, list[tuple[str, ValueLayout]]]:
    """Map paths within the traced module, in each spelling that torch may use, to diffusers' paths and the layout there."""
    modules = dict(module.named_modules(remove_duplicate=False))
    named: dict[nn.Module, list[tuple[str, ValueLayout]]] = {}
    for path, each in modules.items():
        if isinstance(each, Adapter):
            # what a text model gives is not the last that it computes
            own = {name: inner for name, inner in module_paths(role, each).items() if name != "text_model"}
            named |= {each.get_submodule(inner): [(name, "same")] for name, inner in own.items()}
        elif path.startswith("network."):
            named[each] = list(_rewritten(path.removeprefix("network."), modules))
    return {path: named[each] for path, each in modules.items() if each in named}


def _rewritten(path: str, modules: Mapping[str, nn.Module]) -> Iterator[tuple[str, ValueLayout]]:
    """Name diffusers' modules whose value a module of a rewritten network gives."""
    name = path
    for pattern, replacement in _RENAMED:
        name = pattern.sub(replacement, name)
    if _OTHER_VALUES.fullmatch(name):
        return
    if conv := re.fullmatch(r"controlnet_cond_embedding\.convs\.(\d+)", name):
        name = f"controlnet_cond_embedding.blocks.{int(conv[1]) - 1}"
    if out := re.fullmatch(r"outs\.(\d+)", name):
        is_middle = f"network.outs.{int(out[1]) + 1}" not in modules
        name = "controlnet_mid_block" if is_middle else f"controlnet_down_blocks.{out[1]}"
    layout: ValueLayout = "same"
    if ".transformer_blocks." in name:
        layout = "sequence"
    elif name.endswith((".proj_in", ".proj_out")):
        owner: Any = modules[f"network.{path.rpartition('.')[0]}"]
        layout = "sequence" if owner.linear_projection else "same"
    elif name == "add_time_proj":
        layout = "rows"
    elif name.startswith(("time_embedding", "add_embedding")) or name.endswith(".time_emb_proj"):
        layout = "vector"
    yield name, layout
    if name.endswith("samplers.0"):
        yield f"{name}.conv", layout


def _values(traced: Any) -> dict[str, list[_Value]]:
    """List, for each module's path, torch's names and shapes of what it gives: the last value within it, and what that is a copy of."""
    last: dict[str, Any] = {}
    for node in traced.inlined_graph.nodes():
        scopes = node.scopeName().split("/")
        if node.outputsSize() == 1 and _shape(node.output()) is not None:
            last |= {scope.removeprefix("__module."): node for scope in scopes if scope}
    return {path: list(_copies(node)) for path, node in last.items()}


def _copies(node: Any) -> Iterator[_Value]:
    shape = _shape(node.output())
    while shape is not None:
        yield node.output().debugName(), shape
        if node.kind() not in _NO_OPERATION:
            return
        source = next(iter(node.inputs()))
        node, shape = source.node(), _shape(source)


def _shape(value: Any) -> tuple[int, ...] | None:
    """Return a tensor's shape in the trace; None for what is no tensor."""
    sizes = value.type().sizes() if value.type().kind() == "TensorType" else None
    return None if sizes is None else tuple(sizes)


def _operations(program: Any) -> dict[str, list[_Value]]:
    """List, for each of torch's names, the program's names and shapes of the values that are computed for it."""
    operations: dict[str, list[_Value]] = {}
    for operation in program.functions["main"].operations:
        scopes = {source.name: names for source, names in operation.scopes.items()}
        names = scopes.get("TORCHSCRIPT_MODULE_NAME", ())
        if operation.op_type != "const" and names:
            operations.setdefault(names[-1], []).extend((output.name, tuple(output.shape)) for output in operation.outputs)
    return operations


def _agree(shape: tuple[int, ...], computed: tuple[Any, ...]) -> bool:
    """Return whether shapes are the same; a symbol stands for any size."""
    return len(shape) == len(computed) and all(own == size or not isinstance(own, int) for size, own in zip(shape, computed, strict=True))
