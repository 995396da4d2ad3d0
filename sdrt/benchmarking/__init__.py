"""How long a picture takes, from end to end: per model, backend and compute unit."""

from sdrt.benchmarking.machine import machine
from sdrt.benchmarking.timing import Candidate, Measurement, Workload, candidates, measure

__all__ = ["Candidate", "Measurement", "Workload", "candidates", "machine", "measure"]
