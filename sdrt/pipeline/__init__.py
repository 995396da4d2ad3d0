"""From prompt to picture: loading a model, resolving a call, the one loop, and its results."""

from sdrt.pipeline.loading import load
from sdrt.pipeline.options import GenerateOptions
from sdrt.pipeline.pipeline import Pipeline
from sdrt.pipeline.results import Result, Step

__all__ = ["GenerateOptions", "Pipeline", "Result", "Step", "load"]
