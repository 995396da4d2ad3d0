"""Pictures enlarged: by a network (ESRGAN, Real-ESRGAN), tile by tile, or by one of Pillow's resamplings.

``load_upscaler(choice)`` makes an :class:`Upscaler` of a file, of a repository of the Hub, or of the names ``lanczos``, ``bicubic`` and
``nearest``. ``find_upscaler(choice, ...)`` does so for other parts of sdrt, and passes an Upscaler on as it is; they call

    ``upscaler.upscale(pictures, width, height, on_progress)``

with PIL images, and get as many of that size back. ``upscaler.name`` and ``upscaler.fingerprint`` are for records.
"""

from sdrt.upscaling.base import OnUpscale, Upscaler
from sdrt.upscaling.loading import find_upscaler, load_upscaler
from sdrt.upscaling.network import NetworkUpscaler
from sdrt.upscaling.resampling import RESAMPLINGS, Resampler

__all__ = ["RESAMPLINGS", "NetworkUpscaler", "OnUpscale", "Resampler", "Upscaler", "find_upscaler", "load_upscaler"]
