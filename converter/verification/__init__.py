"""Whether a package is the network that it was made from: figures for each output, and the operation where an error is born."""

from converter.verification.births import Birth
from converter.verification.cases import TIMESTEPS
from converter.verification.layers import module_layers
from converter.verification.record import Row, Verification
from converter.verification.verifying import Layers, Reference, verify

__all__ = ["TIMESTEPS", "Birth", "Layers", "Reference", "Row", "Verification", "module_layers", "verify"]
