"""The model of stable-diffusion.cpp's command line, opened early where the meaning of a flag depends on its kind."""

import argparse
from typing import TYPE_CHECKING

from sdrt.cli.downloads import Downloads
from sdrt.errors import ConfigError

if TYPE_CHECKING:
    from sdrt.models import StoredModel

__all__ = ["clip_skip", "model_if_needed"]


def model_if_needed(arguments: argparse.Namespace) -> "StoredModel | None":
    """Open the model if a flag is given whose meaning depends on it; None otherwise.

    Raises
    ------
    SdrtError : see `sdrt.models.open_model`
    """
    if arguments.clip_skip <= 0 and arguments.scheduler != "ays":
        return None
    from sdrt.models import HubAccess, Needs, open_model

    # what sdrt.load will open too, so that nothing more is fetched
    needs = Needs(without=frozenset({"safety_checker"}), refiner=False)
    with Downloads(quiet=arguments.quiet) as downloads:
        return open_model(arguments.model or "nano", hub=HubAccess(on_download=downloads), needs=needs)


def clip_skip(count: int, model: "StoredModel") -> int | None:
    """Return how many layers sdrt leaves out for the program's count, which begins with the last layer; None for the model's own.

    Raises
    ------
    ConfigError : the last layer of a model that goes without it
    """
    if count <= 0:
        return None
    # Stable Diffusion 2 and XL go without the last layer of their 24 and 12
    without = int("text_encoder_2" in model.components or model.config("text_encoder").get("num_hidden_layers") == 23)
    if count <= without:
        raise ConfigError(f"--clip-skip must be at least 2 for this model, which goes without its last layer, got {count}; leave it out")
    return count - 1 - without
