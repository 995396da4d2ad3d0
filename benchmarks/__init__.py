"""Compare sdrt with its peers in one process; results are JSON with machine and versions. Run as ``python -m benchmarks.NAME``."""
