"""Cut a U-Net's package in two files in any folder, compare them with it, and remove it if it is no longer wanted."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from converter.checking import check_halves
from converter.chunking import chunk
from converter.storing import check_opens
from converter.unet_packages import unet_role
from converter.workplace import move_into_place, output_folder, remove_package, workplace

if TYPE_CHECKING:
    from converter.verification import Verification

__all__ = ["halve"]


def halve(
    package: Path, out: Path, *, merge: bool, check: bool, remove_original: bool, on_stage: Callable[[str], None] | None = None
) -> "tuple[tuple[Path, ...], Verification | None]":
    """Cut a package in two; torch is not needed.

    Parameters
    ----------
    package : path of a U-Net's .mlpackage
    out : path of a folder
        Halves of an earlier cut in it are replaced.
    merge : bool
        Whether the halves are joined in one pipeline model.
    check : bool
        Whether the halves are run beside the package.
    remove_original : bool
        Whether the package is removed, after the halves are in their place.
    on_stage : callable or None
        Called with a description of what comes next.

    Returns
    -------
    the paths written, see `converter.chunking.chunk`, and the comparison if there was one

    Raises
    ------
    MissingFileError : no such package
    ConfigError : the package is no whole U-Net, or cannot be cut
    ModelError : it is damaged
    ConversionError : the folder cannot be written to, or the halves differ from the package
    """
    report = on_stage or (lambda _: None)
    role = unet_role(package)
    verification = None
    with output_folder(out), workplace(out) as work:
        report("cutting in two")
        halves = chunk(package, merge=merge, out=work)
        for half in halves:
            check_opens(half)
        if check:
            verification = check_halves(package, halves, role, report)
        for half in halves:
            move_into_place(half, out / half.name)
    if remove_original:
        report("removing the original")
        remove_package(package)
    return tuple(out / half.name for half in halves), verification
