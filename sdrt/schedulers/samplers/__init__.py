"""The samplers, one algorithm a file."""
