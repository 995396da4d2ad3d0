"""The arguments that choose a model and what runs it: they become one record, and the record one call of ``sdrt.load``."""

import argparse
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdrt.cli.console import tell
from sdrt.cli.downloads import Downloads
from sdrt.cli.loras import parse_lora
from sdrt.cli.options import fold
from sdrt.cli.paths import a_model, a_path
from sdrt.errors import ConfigError
from sdrt.printable import shown

if TYPE_CHECKING:
    from sdrt.pipeline.pipeline import Pipeline

__all__ = ["CHOICES", "ModelChoice", "add_arguments", "add_loading", "open_pipeline", "parse_choice", "parse_loading"]

# Arguments that go to sdrt.load as they are, where they are given: name, flag, type, help.
_LOAD: dict[str, tuple[str, Any, str]] = {
    "threads": ("--threads", int, "use at most this many threads (default: all cores)"),
    "device": ("--device", str, "the torch backend's device: cpu, cuda or mps"),
    "dtype": ("--dtype", str, "the torch backend's precision: float32, bfloat16 or float16"),
    "compute_unit": ("--compute-unit", str, "what Core ML may use: ALL, CPU_ONLY, CPU_AND_GPU or CPU_AND_NE"),
    "precision": ("--precision", str, "precision of Core ML packages where Core ML is missing: float32 or float16 (default: float32)"),
    "tokenizer": ("--tokenizer", a_path, "a tokenizer's folder, for Core ML packages without one"),
    "config": ("--config", a_path, "a folder in diffusers' layout or a scheduler_config.json, for Core ML packages without one"),
    "lora_dir": ("--lora-dir", a_path, "a folder of LoRAs, for prompts that name one: <lora:name:0.8>"),
    "refiner": ("--refiner", a_model, "an SDXL refiner, which takes over near the end"),
    "image_encoder": (
        "--image-encoder",
        a_model,
        "the image encoder of the --ip-adapter (default: one beside it, or the model's)",
    ),
    "vae": ("--vae", a_model, "an autoencoder to use instead of the model's own"),
    "preview_vae": ("--preview-vae", a_model, "a quick autoencoder beside the model's own, for previews; taesd is the one that is known"),
    "variant": (
        "--variant",
        str,
        "read the weights of this variant, such as fp16, or the packages of this folder, such as original/packages",
    ),
    "revision": ("--revision", str, "the branch, tag or commit of the model's repository; --model OWNER/NAME@REVISION is the same"),
    "cache_dir": ("--cache-dir", a_path, "where repositories of the Hub are kept (default: the Hub client's own cache)"),
    "prediction_type": ("--prediction-type", str, "what the network of a checkpoint file predicts: epsilon or v_prediction"),
    "flagged_pictures": (
        "--flagged-pictures",
        str,
        "what becomes of pictures that the safety checker flags: black or blurred (default: black)",
    ),
    "pickled": ("--pickled", str, "weights_only lets torch read tensors, and nothing else, from pickled files (default: refuse)"),
}

# The values of some of them, which may be written in letters of either case.
CHOICES = {
    "dtype": ("float32", "bfloat16", "float16"),
    "precision": ("float32", "float16"),
    "prediction_type": ("epsilon", "v_prediction"),
    "pickled": ("refuse", "weights_only"),
    "numerics": ("float32", "float64", "exact"),
    "device": ("cpu", "cuda", "mps"),
    "flagged_pictures": ("black", "blurred"),
}

# The same without a value.
_SWITCHES: dict[str, tuple[str, str]] = {
    "compile": ("--compile", "compile the torch backend's networks: the first step is slow, the others are faster"),
    "reduce_memory": ("--reduce-memory", "hold one network in memory at a time, in its backend's low-memory mode"),
    "safety_checker": ("--safety-checker", "let the model's safety checker look at every picture, and hide those that it flags"),
}


@dataclass(frozen=True, kw_only=True)
class ModelChoice:
    """What ``sdrt.load`` is called with.

    Parameters
    ----------
    model : str or None
    backend : str, mapping by component, or None
    numerics : str or None
        None: the default of ``sdrt.load``, or what the record of a picture says.
    fast : bool
        Whether the fastest settings for this machine are chosen.
    embeddings : tuple of (token or None, file)
    loras : tuple of (file, strength)
    controlnets, t2i_adapters, ip_adapters : tuple of str
    options : dict
        Whatever else was given.
    """

    model: str | None
    backend: str | dict[str, str] | None = None
    numerics: str | None = None
    fast: bool = False
    embeddings: tuple[tuple[str | None, str], ...] = ()
    loras: tuple[tuple[str, float], ...] = ()
    controlnets: tuple[str, ...] = ()
    t2i_adapters: tuple[str, ...] = ()
    ip_adapters: tuple[str, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Add the arguments to a command."""
    group = command.add_argument_group("the model, and what runs it")
    group.add_argument(
        "--model",
        help="a folder in diffusers' layout or of Core ML packages, a checkpoint file, a name that 'sdrt models' lists, or a repository of "
        "the Hugging Face Hub, OWNER/NAME[@REVISION][::FILE], of which only what is needed is fetched (default: nano)",
    )
    group.add_argument(
        "--backend",
        metavar="NAME",
        help="a name that 'sdrt backends' lists, or component=name,component=name for several "
        "(default: numpy, or coreml for Core ML packages)",
    )
    group.add_argument("--fast", action="store_true", help="use torch with the fastest settings for this machine, and say which")
    _add(group, "numerics")
    group.add_argument(
        "--embedding",
        action="append",
        default=[],
        metavar="[TOKEN=]FILE",
        help="a textual inversion (safetensors), or a repository of the Hub that has one; give it again for more (default token: the one "
        "in the file, or the file's name)",
    )
    group.add_argument(
        "--lora",
        action="append",
        default=[],
        metavar="FILE[:STRENGTH]",
        help="a LoRA to merge into the weights, or a repository of the Hub that has one (default strength: 1); give it again for more",
    )
    group.add_argument(
        "--controlnet",
        action="append",
        default=[],
        metavar="MODEL",
        help="a ControlNet: its folder, file or repository, or with Core ML its name; give it again for more",
    )
    group.add_argument(
        "--t2i-adapter",
        action="append",
        default=[],
        metavar="MODEL",
        help="a T2I-Adapter: its folder, file or repository; give it again for more",
    )
    group.add_argument(
        "--ip-adapter",
        action="append",
        default=[],
        metavar="FILE",
        help="an IP-Adapter, which lets the model look at pictures: its file, or OWNER/NAME::FILE of the Hub; give it again for more",
    )
    add_loading(group, (*_LOAD, *_SWITCHES))
    group.add_argument(
        "--no-mmap",
        dest="mmap",
        action="store_false",
        default=None,
        help="read weights into memory instead of mapping their files, for network drives and for files that may change meanwhile",
    )


def add_loading(group: "argparse._ArgumentGroup", names: Iterable[str]) -> None:
    """Add some of the arguments that say how a model is loaded, by their names."""
    for name in names:
        _add(group, name)


def _add(group: "argparse._ArgumentGroup", name: str) -> None:
    if name == "numerics":
        group.add_argument(
            "--numerics",
            metavar="{float32,float64,exact}",
            help="precision of the arithmetic; exact: the same bytes on every machine (default: float32)",
        )
    elif name in _LOAD:
        flag, kind, text = _LOAD[name]
        # shells complete a DIR to folders alone
        metavar = "DIR" if flag.endswith("-dir") else {int: "N", str: "NAME", a_path: "PATH", a_model: "MODEL"}[kind]
        group.add_argument(flag, dest=name, type=kind, metavar=metavar, help=text)
    else:
        flag, text = _SWITCHES[name]
        group.add_argument(flag, dest=name, action="store_true", default=None, help=text)


def parse_loading(arguments: argparse.Namespace, names: Iterable[str]) -> dict[str, Any]:
    """Return those of these arguments that were given, each of a choice in the letters of its own."""
    given = {name: value for name in names if (value := getattr(arguments, name)) is not None}
    return {name: fold(value, CHOICES[name]) if name in CHOICES else value for name, value in given.items()}


def parse_choice(arguments: argparse.Namespace) -> ModelChoice:
    """Return the choice that the arguments mean.

    Raises
    ------
    ConfigError : arguments that contradict each other, or cannot be read
    """
    if arguments.fast and arguments.backend not in (None, "torch"):
        raise ConfigError(f"--fast chooses the torch backend, got --backend {arguments.backend} too; leave one of them out")
    given = parse_loading(arguments, (*_LOAD, *_SWITCHES, "mmap", "numerics"))
    numerics = given.pop("numerics", None)
    if "compute_unit" in given:
        given["compute_unit"] = given["compute_unit"].upper()
    return ModelChoice(
        model=arguments.model,
        backend=None if arguments.backend is None else _parse_backend(arguments.backend),
        numerics=numerics,
        fast=arguments.fast,
        embeddings=tuple(map(_parse_embedding, arguments.embedding)),
        loras=tuple(map(parse_lora, arguments.lora)),
        controlnets=tuple(arguments.controlnet),
        t2i_adapters=tuple(arguments.t2i_adapter),
        ip_adapters=tuple(arguments.ip_adapter),
        options=given,
    )


def open_pipeline(choice: ModelChoice, *, quiet: bool) -> "Pipeline":
    """Open the model; ``--fast`` says on standard error what it chose, unless all is quiet."""
    from sdrt.models import HubAccess, read_embedding
    from sdrt.models.hub import local_embedding
    from sdrt.pipeline.loading import load

    backend, options = choice.backend, choice.options
    if choice.fast:
        from sdrt.backends.torch import fastest_options, this_machine

        fastest = fastest_options(this_machine())
        backend, options = "torch", {**fastest.options, **options}
        if not quiet:
            tell(f"sdrt: --fast: {fastest.reason}")
    chosen = {"model": choice.model, "backend": backend, "numerics": choice.numerics}
    given: dict[str, Any] = {name: value for name, value in chosen.items() if value is not None} | options
    with Downloads(quiet=quiet) as downloads:
        access = HubAccess(given.get("cache_dir"), on_download=downloads)
        embeddings = [read_embedding(local_embedding(file, access), token) for token, file in choice.embeddings]
        nets: dict[str, Any] = {"controlnet": choice.controlnets, "t2i_adapter": choice.t2i_adapters, "ip_adapter": choice.ip_adapters}
        return load(embeddings=embeddings, loras=choice.loras, on_download=downloads, **nets, **given)


def _parse_backend(text: str) -> str | dict[str, str]:
    if "=" not in text:
        return text
    pairs = [pair.partition("=") for pair in text.split(",")]
    if bad := [component for component, equals, name in pairs if not (component and equals and name)]:
        raise ConfigError(
            f"--backend must be a name or component=name,component=name, got {shown(text)}; correct {', '.join(map(shown, bad))}"
        )
    return {component.strip(): name.strip() for component, _, name in pairs}


def _parse_embedding(text: str) -> tuple[str | None, str]:
    token, equals, file = text.partition("=")
    # a file whose own name has an equals sign comes first
    if (text and not equals) or Path(text).is_file():
        return None, text
    if not (token and file):
        raise ConfigError(f"--embedding must be a file or TOKEN=FILE, got {shown(text)}; name both")
    return token, file
