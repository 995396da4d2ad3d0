"""Whether a sampling loop of others does what it should with networks, noise, guidance and pixels, and if not, why."""
