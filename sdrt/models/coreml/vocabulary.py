"""How many tokens a text encoder's package knows: its program says so, and neither its inputs nor a file beside it."""

from collections.abc import Sequence
from pathlib import Path

from sdrt.limits import DEFAULT_LIMITS, Limits

__all__ = ["vocabulary_size"]


def vocabulary_size(paths: Sequence[Path], width: int, limits: Limits = DEFAULT_LIMITS) -> int | None:
    """Return the rows of the table of tokens that a text encoder looks ids up in; None where its program has no such table.

    Parameters
    ----------
    paths : sequence of Path
        The package, or its halves.
    width : int
        Of a token's vector.
    limits : Limits

    Raises
    ------
    ModelError : a package is damaged
    """
    # imported here, since models in other layouts never read a package
    from sdrt.models.mlpackage.mil import TensorType
    from sdrt.models.mlpackage.package import open_package

    tables: list[int] = []
    for path in paths:
        model = open_package(path, limits).model
        for program in (each.program for each in (model, *model.models)):
            for function in program.functions.values() if program else ():
                made = {output.name: output.type for operation in function.block.operations for output in operation.outputs}
                looked_up = (name for operation in function.block.operations if operation.type == "gather" for name in operation.names())
                kinds = (made.get(name) for name in looked_up)
                # positions are looked up too, in a shorter table
                tables += [rows for kind in kinds if isinstance(kind, TensorType) and kind.shape[1:] == (width,) if (rows := kind.shape[0])]
    return max(tables, default=None)
