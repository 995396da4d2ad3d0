"""Names of tensors without what wrappers put around them: compilers, parallel trainers, adapters that were taken out again.

A prefix that all tensors share says nothing, so it is cut until the names begin as those of the component do. What only some names have
stays: it may tell one tensor from another.
"""

from collections.abc import Collection, Iterable

from sdrt.models.idle_tensors import is_idle

__all__ = ["plain_names"]

# torch.compile keeps the module under this name, wherever it stands; peft a layer that an adapter was put on.
_WRAPPERS = ("_orig_mod.", "base_layer.")
# Also torch's DataParallel, which may be around one component of a checkpoint.
_PARALLEL = "module."


def plain_names(stored: Iterable[str], roots: Collection[str]) -> dict[str, str]:
    """Map names as stored to plain names.

    Parameters
    ----------
    stored : iterable of str
    roots : collection of str
        How names of the component, or of a checkpoint's components, may begin; each ends at a dot where it is no whole name.

    >>> plain_names(["net._orig_mod.conv_in.weight", "net._orig_mod.conv_in.bias"], ["conv_in."])
    {'net._orig_mod.conv_in.weight': 'conv_in.weight', 'net._orig_mod.conv_in.bias': 'conv_in.bias'}
    >>> plain_names(["a.a.conv_in.bias", "b.conv_in.bias"], ["a.", "b."])
    {'a.a.conv_in.bias': 'a.conv_in.bias', 'b.conv_in.bias': 'b.conv_in.bias'}
    """
    plain = {name: _unwrapped(name) for name in stored}
    known = tuple(roots)
    real = [name for name in plain.values() if not is_idle(name)]
    cut = _shared_prefix(real, known)
    plain = {name: short.removeprefix(cut) for name, short in plain.items()}
    for root in known:
        if root.endswith("."):
            plain = _single(plain, root)
    return plain


def _unwrapped(name: str) -> str:
    for wrapper in _WRAPPERS:
        if wrapper in name:
            name = f".{name}".replace(f".{wrapper}", ".").removeprefix(".")
    return name


def _shared_prefix(names: list[str], roots: tuple[str, ...]) -> str:
    """Return what all names share before they begin with a root; empty if they never do, or begin with one at once."""
    cut = ""
    while names and roots and not any(name.startswith(roots) for name in names):
        first, dot, _ = names[0].partition(".")
        head = first + dot
        if not dot or not all(name.startswith(head) for name in names):
            return ""
        cut += head
        names = [name.removeprefix(head) for name in names]
    return cut


def _single(plain: dict[str, str], root: str) -> dict[str, str]:
    """Remove a root, or a parallel trainer's prefix, that stands twice before all names below that root."""
    below = [name.removeprefix(root) for name in plain.values() if name.startswith(root)]
    for again in (root, _PARALLEL):
        if below and all(name.startswith(again) for name in below):
            doubled = root + again
            return _single(
                {name: root + short.removeprefix(doubled) if short.startswith(doubled) else short for name, short in plain.items()}, root
            )
    return plain
