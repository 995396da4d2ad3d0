"""Verify that a package is the network it was made from: figures for each output, and the operation where an error originates."""

from converter.verification.cases import TIMESTEPS
from converter.verification.error_origins import ErrorOrigin
from converter.verification.layers import module_layers
from converter.verification.record import Row, Verification
from converter.verification.verifying import Layers, Reference, verify

__all__ = ["TIMESTEPS", "ErrorOrigin", "Layers", "Reference", "Row", "Verification", "module_layers", "verify"]
