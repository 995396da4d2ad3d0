"""Whether a scheduler of others is that of diffusers, and if not, why."""
