"""The inputs of the denoiser besides sample and timestep: texts, sizes, pictures to in-paint and pictures to follow."""
