"""Side by side with peers, in one process; figures as JSON with machine and versions. Run as ``python -m benchmarks.NAME``."""
