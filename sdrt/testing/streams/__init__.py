"""Whether a noise stream of others is that of torch, numpy or a GPU, and if not, why."""
