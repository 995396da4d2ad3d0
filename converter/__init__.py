"""From a diffusers checkpoint to Core ML packages, on any system, verified where they are made."""
