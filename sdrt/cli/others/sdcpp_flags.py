"""Flags of stable-diffusion.cpp that mean nothing here, and flags that ask for what sdrt does not have.

Source: leejet/stable-diffusion.cpp in May 2026, ``examples/cli/main.cpp``, ``examples/common/common.cpp``.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass

from sdrt.errors import ConfigError
from sdrt.log import log

__all__ = ["IDLE", "REFUSED", "Flag", "add_others", "refuse", "tell_idle"]


@dataclass(frozen=True)
class Flag:
    """A flag that is accepted without an effect, or refused.

    Parameters
    ----------
    name : str
        As it is typed.
    why : str
        What makes it idle, or what it needs and what to do instead.
    takes_value : bool
    default : str or None
        A value of a refused flag that asks for nothing.
    """

    name: str
    why: str
    takes_value: bool = False
    default: str | None = None

    @property
    def dest(self) -> str:
        """The attribute of the parsed arguments."""
        return f"other_{self.name.strip('-').replace('-', '_')}"


def _flags(why: str, switches: str = "", values: str = "") -> Iterator[Flag]:
    for name in switches.split():
        yield Flag(name, why)
    for name in values.split():
        yield Flag(name, why, takes_value=True)


IDLE: tuple[Flag, ...] = (
    *_flags("weights stay as their file has them", values="--type --tensor-type-rules"),
    *_flags(
        "how ggml computes and where it puts weights",
        "--offload-to-cpu --control-net-cpu --clip-on-cpu --vae-on-cpu --mmap --fa --diffusion-fa --diffusion-conv-direct "
        "--vae-conv-direct",
        "--max-vram --lora-apply-mode",
    ),
    *_flags("float32 does not overflow", "--force-sdxl-vae-conv-scale"),
    *_flags("every step is computed", values="--cache-mode --cache-option --scm-mask --scm-policy"),
    *_flags(
        "tiles have the size that the autoencoder was trained for", values="--vae-tile-size --vae-relative-tile-size --vae-tile-overlap"
    ),
    *_flags("no previews are written", "--preview-noisy --taesd-preview-only", "--preview --preview-path --preview-interval"),
    *_flags("messages have no colours", "--color"),
    *_flags("for other modes", "--convert-name --metadata-raw --metadata-brief --metadata-all", "--image --metadata-format"),
    *_flags(
        "for models that are not here",
        "--chroma-disable-dit-mask --chroma-enable-t5-mask --qwen-image-zero-cond-t --increase-ref-index --disable-auto-resize-ref-image",
        "--chroma-t5-mask-pad --guidance --slg-scale --skip-layers --skip-layer-start --skip-layer-end --flow-shift --moe-boundary "
        "--vace-strength --video-frames --fps --high-noise-steps --high-noise-cfg-scale --high-noise-img-cfg-scale --high-noise-guidance "
        "--high-noise-slg-scale --high-noise-skip-layer-start --high-noise-skip-layer-end --high-noise-eta --high-noise-skip-layers "
        "--high-noise-sampling-method --pm-style-strength --style-ratio",
    ),
    *_flags("for --upscale-model, which is refused", values="--upscale-repeats --upscale-tile-size"),
    *_flags(
        "for --hires, which is refused",
        values="--hires-upscalers-dir --hires-upscaler --hires-width --hires-height --hires-steps --hires-upscale-tile-size --hires-scale "
        "--hires-denoising-strength",
    ),
    *_flags("for PhotoMaker's pictures", "--normalize-input"),
)

REFUSED: tuple[Flag, ...] = (
    *_flags(
        "needs a model in parts, and sdrt opens whole ones; pass -m with a checkpoint or a folder",
        values="--diffusion-model --high-noise-diffusion-model --clip_l --clip_g",
    ),
    *_flags(
        "is for models that sdrt does not have; pass -m with Stable Diffusion 1, 2 or XL",
        values="--clip_vision --t5xxl --llm --llm_vision --qwen2vl --qwen2vl_vision",
    ),
    *_flags("is a second flag for what sdrt takes as --vae; pass the file of the quick autoencoder there", values="--taesd --tae"),
    *_flags("enlarges what is drawn; leave it out, and call 'sdrt upscale FILE --upscaler MODEL' then", values="--upscale-model"),
    *_flags(
        "needs PhotoMaker, which sdrt does not have; leave it out",
        values="--photo-maker --stacked-id-embd-dir --pm-id-images-dir --input-id-images-dir --pm-id-embed-path",
    ),
    *_flags("is for editing models, which sdrt does not have; change a picture with -i", values="-r --ref-image --img-cfg-scale"),
    *_flags("is for videos, which sdrt does not draw; leave it out", values="--end-img --control-video"),
    *_flags("asks for a second pass; leave it out, or draw with 'sdrt generate --hires-scale 2'", "--hires"),
    *_flags("asks for convolutions that wrap around, which sdrt does not have; leave it out", "--circular --circularx --circulary"),
    *_flags("is not on sdrt's command line; choose a --scheduler", values="--sigmas"),
    Flag("--timestep-shift", "is for NitroFusion, which sdrt does not have; leave it out", takes_value=True, default="0"),
)


def add_others(command: argparse.ArgumentParser) -> None:
    """Add these flags to the command, without a line of help each: its documentation lists them."""
    for flag in (*IDLE, *REFUSED):
        action = "store" if flag.takes_value else "store_true"
        command.add_argument(flag.name, dest=flag.dest, action=action, default=None, help=argparse.SUPPRESS)


def refuse(arguments: argparse.Namespace) -> None:
    """Refuse flags that ask for what is not here.

    Raises
    ------
    ConfigError : one is given
    """
    for flag in REFUSED:
        if getattr(arguments, flag.dest) not in (None, flag.default):
            raise ConfigError(f"{flag.name} {flag.why}")


def tell_idle(arguments: argparse.Namespace) -> None:
    """Say once which of the given flags mean nothing here."""
    given = [flag for flag in IDLE if getattr(arguments, flag.dest) is not None]
    if given:
        reasons = "; ".join(
            f"{', '.join(each.name for each in given if each.why == why)} ({why})" for why in dict.fromkeys(f.why for f in given)
        )
        log.warning("without an effect here: %s", reasons)
