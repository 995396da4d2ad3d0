"""Checkpoints with the key names of CompVis' and Stability AI's own code: each part's names, and its configuration out of its shapes."""
