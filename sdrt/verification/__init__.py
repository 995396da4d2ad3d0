"""Check this machine against the hashes that ship with sdrt: what ``numerics="exact"`` gives everywhere."""
