"""What a package computes in half precision, and the little that must not be.

Two places lose digits that nothing brings back (measured with coremltools 9.0 on random U-Nets, in dB against float32):

- the angles of an embedded number, up to 1000 radians: at timestep 981 half precision knows them to half a radian, 51 dB instead of 65;
- the statistics of group normalisation: a square of more than 255 is beyond half precision, and the result is noise.

Layer normalisation is one operation of MIL, which computes inside as it will.
"""

from typing import Any

from converter.options import Precision

__all__ = ["compute_precision", "embeds_number", "float32_operation", "normalises"]

# Between a number and its sine there is nothing else.
_TOWARDS_ANGLES = frozenset({"cast", "expand_dims", "mul", "reshape"})
# Nothing else in these networks takes a mean or a root.
_STATISTICS = frozenset({"reduce_mean", "rsqrt", "sqrt", "square"})


def compute_precision(precision: Precision, *, norms_in_float32: bool = True) -> Any:
    """What ``coremltools.convert`` takes as ``compute_precision``.

    Parameters
    ----------
    precision : "float16" or "float32"
    norms_in_float32 : bool
        Whether the statistics of group normalisation stay in float32 in a float16 package. Embedded numbers always do.

    Returns
    -------
    coremltools.precision, or the transform that casts to float16 what may be cast
    """
    import coremltools as ct

    if precision == "float32":
        return ct.precision.FLOAT32
    return ct.transform.FP16ComputePrecision(
        op_selector=lambda operation: not float32_operation(operation, norms_in_float32=norms_in_float32)
    )


def float32_operation(operation: Any, *, norms_in_float32: bool = True) -> bool:
    """Whether an operation of MIL has to stay in float32.

    Parameters
    ----------
    operation : coremltools.converters.mil.mil.Operation
        Before coremltools casts anything to float16, all fusions done.
    """
    return embeds_number(operation) or (norms_in_float32 and normalises(operation))


def embeds_number(operation: Any) -> bool:
    """Whether it is a sine, a cosine, or leads from a number to one."""
    if operation.op_type in ("sin", "cos"):
        return True
    return operation.op_type in _TOWARDS_ANGLES and any(embeds_number(user) for output in operation.outputs for user in output.child_ops)


def normalises(operation: Any) -> bool:
    """Whether it is a part of a normalisation's statistics, or brings a value to mean 0 or deviation 1."""
    match operation.op_type:
        case kind if kind in _STATISTICS:
            return True
        case "add":
            return any(user.op_type in ("sqrt", "rsqrt") for user in operation.outputs[0].child_ops)
        case "sub":
            return _made_by(operation.y, "reduce_mean")
        case "real_div":
            return _made_by(operation.y, "sqrt")
    return False


def _made_by(value: Any, kind: str) -> bool:
    return value.op is not None and value.op.op_type == kind
