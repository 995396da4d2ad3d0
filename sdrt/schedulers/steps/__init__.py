"""Forms of a step that several samplers use."""
