"""A verifiable Stable Diffusion runtime: every number is tested against a reference.

>>> import sdrt
>>> pipe = sdrt.load("nano")
>>> result = pipe.generate("a red circle on a blue background", seed=93, num_inference_steps=2)
>>> result.images[0].size
(128, 128)

Importing sdrt imports numpy alone; the pipeline, Pillow and the rest load on first use.
"""

import importlib
import warnings
from typing import TYPE_CHECKING, Any

from sdrt._version import __version__

if TYPE_CHECKING:
    from sdrt import (
        backends,
        batch,
        compare,
        errors,
        guidance,
        images,
        models,
        pipeline,
        prompt,
        records,
        rng,
        schedulers,
        testing,
        tokenizer,
        upscaling,
    )
    from sdrt.arrays import Numerics
    from sdrt.backends import Backend, BackendOptions
    from sdrt.errors import SdrtError
    from sdrt.freeu import FreeU
    from sdrt.guidance.scheduled import GuidanceSchedule
    from sdrt.guidance_options import APG, DynamicThresholding
    from sdrt.images.inputs import Picture
    from sdrt.images.saving import PictureFormat
    from sdrt.images.sizes import Resize
    from sdrt.limits import Limits
    from sdrt.models import Embedding, Model, Pickled, PredictionType
    from sdrt.models.hub import DownloadProgress, download
    from sdrt.pipeline.loading import load
    from sdrt.pipeline.loras import LoraChoice
    from sdrt.pipeline.observer import Beginning, CompletedStep, MakeObserver, Observer
    from sdrt.pipeline.options import (
        AdapterPreprocessor,
        ControlMode,
        ControlNetInput,
        ControlPreprocessor,
        GenerateOptions,
        GuidanceBatching,
        HiresUpscaler,
        MaskedContent,
        MaskMode,
        NoiseSource,
        OldSpellings,
        PromptRegion,
        SchedulerChoice,
        SchedulerName,
        SDXLSizes,
    )
    from sdrt.pipeline.pipeline import Pipeline
    from sdrt.pipeline.previews import PreviewKind
    from sdrt.pipeline.progress import OnProgress, Progress
    from sdrt.pipeline.results import Result
    from sdrt.pipeline.safety_checker import FlaggedPictures
    from sdrt.pipeline.step import Step
    from sdrt.pipeline.steps import Steps
    from sdrt.prompt import Emphasis, LongPrompts, PromptSyntax
    from sdrt.recordings import Recording
    from sdrt.records import Settings
    from sdrt.rng import NoiseStream
    from sdrt.schedulers import Compat, DiffusersScheduler, Sampler
    from sdrt.tokenizer import ClipTokenizer
    from sdrt.upscaling import OnUpscale, Upscaler, load_upscaler

__all__ = [
    "APG",
    "AdapterPreprocessor",
    "Backend",
    "BackendOptions",
    "Beginning",
    "ClipTokenizer",
    "Compat",
    "CompletedStep",
    "ControlMode",
    "ControlNetInput",
    "ControlPreprocessor",
    "DiffusersScheduler",
    "DownloadProgress",
    "DynamicThresholding",
    "Embedding",
    "Emphasis",
    "FlaggedPictures",
    "FreeU",
    "GenerateOptions",
    "GuidanceBatching",
    "GuidanceSchedule",
    "HiresUpscaler",
    "Limits",
    "LongPrompts",
    "LoraChoice",
    "MakeObserver",
    "MaskMode",
    "MaskedContent",
    "Model",
    "NoiseSource",
    "NoiseStream",
    "Numerics",
    "Observer",
    "OldSpellings",
    "OnProgress",
    "OnUpscale",
    "Pickled",
    "Picture",
    "PictureFormat",
    "Pipeline",
    "PredictionType",
    "PreviewKind",
    "Progress",
    "PromptRegion",
    "PromptSyntax",
    "Recording",
    "Resize",
    "Result",
    "SDXLSizes",
    "Sampler",
    "SchedulerChoice",
    "SchedulerName",
    "SdrtError",
    "Settings",
    "Step",
    "Steps",
    "Upscaler",
    "__version__",
    "backends",
    "batch",
    "compare",
    "download",
    "errors",
    "guidance",
    "images",
    "load",
    "load_upscaler",
    "models",
    "pipeline",
    "prompt",
    "records",
    "rng",
    "schedulers",
    "testing",
    "tokenizer",
    "upscaling",
]

_NAMES_BY_HOME = {
    "sdrt.arrays": ("Numerics",),
    "sdrt.backends": ("Backend", "BackendOptions"),
    "sdrt.errors": ("SdrtError",),
    "sdrt.freeu": ("FreeU",),
    "sdrt.guidance.scheduled": ("GuidanceSchedule",),
    "sdrt.guidance_options": ("APG", "DynamicThresholding"),
    "sdrt.images.inputs": ("Picture",),
    "sdrt.images.saving": ("PictureFormat",),
    "sdrt.images.sizes": ("Resize",),
    "sdrt.limits": ("Limits",),
    "sdrt.models": ("Embedding", "Model", "Pickled", "PredictionType"),
    "sdrt.models.hub": ("DownloadProgress", "download"),
    "sdrt.pipeline.loading": ("load",),
    "sdrt.pipeline.loras": ("LoraChoice",),
    "sdrt.pipeline.options": (
        "AdapterPreprocessor",
        "ControlMode",
        "ControlNetInput",
        "ControlPreprocessor",
        "GenerateOptions",
        "GuidanceBatching",
        "HiresUpscaler",
        "MaskMode",
        "MaskedContent",
        "NoiseSource",
        "OldSpellings",
        "PromptRegion",
        "SDXLSizes",
        "SchedulerChoice",
        "SchedulerName",
    ),
    "sdrt.pipeline.observer": ("Beginning", "CompletedStep", "MakeObserver", "Observer"),
    "sdrt.pipeline.pipeline": ("Pipeline",),
    "sdrt.pipeline.previews": ("PreviewKind",),
    "sdrt.pipeline.progress": ("OnProgress", "Progress"),
    "sdrt.pipeline.results": ("Result",),
    "sdrt.pipeline.safety_checker": ("FlaggedPictures",),
    "sdrt.pipeline.step": ("Step",),
    "sdrt.pipeline.steps": ("Steps",),
    "sdrt.prompt": ("Emphasis", "LongPrompts", "PromptSyntax"),
    "sdrt.recordings": ("Recording",),
    "sdrt.records": ("Settings",),
    "sdrt.rng": ("NoiseStream",),
    "sdrt.schedulers": ("Compat", "DiffusersScheduler", "Sampler"),
    "sdrt.tokenizer": ("ClipTokenizer",),
    "sdrt.upscaling": ("OnUpscale", "Upscaler", "load_upscaler"),
}
_HOMES = {name: home for home, names in _NAMES_BY_HOME.items() for name in names}
_ROOMS = frozenset(
    {
        "backends",
        "batch",
        "compare",
        "errors",
        "guidance",
        "images",
        "models",
        "pipeline",
        "prompt",
        "records",
        "rng",
        "schedulers",
        "testing",
        "tokenizer",
        "upscaling",
    }
)


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return importlib.import_module(f"sdrt.{name}")
    if name in _HOMES:
        value = getattr(importlib.import_module(_HOMES[name]), name)
        globals()[name] = value
        return value
    if name == "image":
        # the name of the package in 0.1.0
        warnings.warn("sdrt.image is deprecated; write sdrt.images", DeprecationWarning, stacklevel=2)
        return importlib.import_module("sdrt.images")
    raise AttributeError(f"module 'sdrt' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
