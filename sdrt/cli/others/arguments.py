"""Values that Apple's command lines take, in letters of either case: a wrong one is refused with all that there are."""

import argparse
from collections.abc import Callable, Iterable, Mapping

from sdrt.printable import shown

__all__ = ["a_seed", "compute_unit", "compute_units", "one_of"]

# As Python and as Swift write them.
_COMPUTE_UNITS = {
    "ALL": ("all",),
    "CPU_ONLY": ("cpuOnly",),
    "CPU_AND_GPU": ("cpuAndGPU",),
    "CPU_AND_NE": ("cpuAndNeuralEngine",),
}


def one_of(names: Mapping[str, tuple[str, ...]], listed: Iterable[str] = ()) -> Callable[[str], str]:
    """Return the type of an argument that is one of these names.

    Parameters
    ----------
    names : mapping
        Each name that the argument then has, with other ways to write it; letters may be of either case.
    listed : names, optional
        What a wrong value is told that there is; without them the names of the mapping.

    >>> one_of({"nv": ("nvidia", "cuda")})("CUDA")
    'nv'
    """
    possible = ", ".join(listed or names)
    known = {spelling.casefold(): name for name, others in names.items() for spelling in (name, *others)}

    def chosen(text: str) -> str:
        if text.casefold() not in known:
            raise argparse.ArgumentTypeError(f"must be one of {possible}, got {shown(text)}")
        return known[text.casefold()]

    return chosen


def a_seed(text: str) -> int:
    """Return a seed of numpy's and of Swift's generators.

    Raises
    ------
    argparse.ArgumentTypeError : it is not from 0 to 2**32 - 1
    """
    if not (text.isdecimal() and text.isascii()) or int(text[:11]) >= 2**32:
        raise argparse.ArgumentTypeError(f"must be a whole number from 0 to {2**32 - 1}, got {shown(text)}")
    return int(text)


# The types of an argument that says where Core ML may compute, as Python's command line and as Swift's lists them.
compute_unit = one_of(_COMPUTE_UNITS)
compute_units = one_of(_COMPUTE_UNITS, [swift for (swift,) in _COMPUTE_UNITS.values()])
