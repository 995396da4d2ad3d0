"""Check this machine against the hashes that ship with sdrt: what ``numerics="exact"`` gives everywhere."""

from sdrt.verification.verifying import Outcome, Verification, verify

__all__ = ["Outcome", "Verification", "verify"]
