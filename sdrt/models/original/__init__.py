"""Checkpoints with the key names of CompVis' and Stability AI's own code: names of each component, configurations out of shapes."""
