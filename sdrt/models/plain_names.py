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
    names, known = list(stored), tuple(roots)
    # thousands of names are plain already, at each opening
    short = [_unwrapped(name) for name in names] if any(wrapper in name for wrapper in _WRAPPERS for name in names) else names
    if cut := _shared_prefix(short, known):
        short = [name.removeprefix(cut) for name in short]
    for root in known:
        short = _single(short, root)
    return dict(zip(names, short, strict=True))


def _unwrapped(name: str) -> str:
    for wrapper in _WRAPPERS:
        if wrapper in name:
            name = f".{name}".replace(f".{wrapper}", ".").removeprefix(".")
    return name


def _shared_prefix(names: list[str], roots: tuple[str, ...]) -> str:
    """Return what all names share before they begin with a root; empty if they never do, or begin with one at once."""
    if not roots or any(name.startswith(roots) for name in names):
        return ""
    names, cut = [name for name in names if not is_idle(name)], ""
    while names and not any(name.startswith(roots) for name in names):
        first, dot, _ = names[0].partition(".")
        head = first + dot
        if not dot or not all(name.startswith(head) for name in names):
            return ""
        cut += head
        names = [name.removeprefix(head) for name in names]
    return cut


def _single(names: list[str], root: str) -> list[str]:
    """Remove a root, or a parallel trainer's prefix, that stands twice before all names below that root."""
    doubled = next((root + again for again in (root, _PARALLEL) if _all_below(names, root, root + again)), None)
    if doubled is None:
        return names
    return _single([root + name.removeprefix(doubled) if name.startswith(doubled) else name for name in names], root)


def _all_below(names: list[str], root: str, doubled: str) -> bool:
    """Return whether there are names below a root, all of them doubled."""
    if not root.endswith("."):
        return False
    below = (name for name in names if name.startswith(root))
    return next(below, "").startswith(doubled) and all(name.startswith(doubled) for name in below)
