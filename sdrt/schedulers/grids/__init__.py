"""Where a run stops: noise schedules, spacings of timesteps and of noise levels, and the grids that choose stops by them."""
