"""Core ML packages of nano with Apple's names, for pictures of 64 x 64: what the fixture ``nano_packages`` makes."""

import os
import shutil
import time
from pathlib import Path

from sdrt.host import lock_file

__all__ = ["as_epsilon", "shared_packages"]

_PARTS = ("text_encoder", "unet", "vae_decoder", "vae_encoder")


def shared_packages(session_folder: Path) -> Path:
    """Return a folder with all that Apple's converter makes of a model, and its ``Resources``; converted once for all of xdist's workers.

    It has a U-Net that takes ControlNets, one that does not, and ``nano-edges`` as the ControlNet; nano has no safety checker.
    """
    shared = session_folder.parent if "PYTEST_XDIST_WORKER" in os.environ else session_folder
    folder, made = shared / "nano-packages", shared / "nano-packages-made"
    with (shared / "nano-packages.lock").open("wb") as lock:
        _wait_for(lock.fileno())
        if not made.exists():
            _convert(folder)
            made.touch()
    return folder


def as_epsilon(packages: Path, folder: Path) -> Path:
    """Copy packages beside a scheduler configuration as of Stable Diffusion 1.x, for which Apple's Swift package takes every model.

    nano predicts velocities: taken for noise its outputs draw no picture, but the same one everywhere.
    """
    shutil.copytree(packages, folder)
    file = folder / "scheduler_config.json"
    text = file.read_text(encoding="utf-8").replace("v_prediction", "epsilon").replace("trailing", "leading")
    file.write_text(text, encoding="utf-8")
    return folder


def _wait_for(handle: int) -> None:
    while True:
        try:
            return lock_file(handle)
        except BlockingIOError:
            time.sleep(0.1)


def _convert(folder: Path) -> None:
    from converter.conversion import convert
    from converter.options import Attention, ConvertOptions
    from sdrt.models import path

    # the attention that takes the least time to convert
    common = {"model": "nano", "out": folder, "latent_height": 8, "latent_width": 8, "check": False, "attention": Attention.ORIGINAL}
    convert(ConvertOptions(**common, parts=("unet",), unet_support_controlnet=True, controlnets=(str(path("nano-edges")),)))  # type: ignore[arg-type]
    convert(ConvertOptions(**common, parts=_PARTS, bundle=True))  # type: ignore[arg-type]
