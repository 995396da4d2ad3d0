"""Both pictures and their difference, inside the page."""

import base64
import io

import numpy as np

from sdrt.arrays import U8

__all__ = ["picture_section"]


def picture_section(number: int, a: U8, b: U8) -> str:
    """Return two pictures over each other with a slider between them, and their difference with another for its strength."""
    difference = np.abs(a.astype(np.int16) - b).astype(np.uint8)
    largest = int(difference.max(initial=0))
    # so that the largest difference is seen at once
    gain = max(1, min(255, 255 // max(largest, 1)))
    strength = f'<input type="range" min="0" max="8" step="0.1" value="{np.log2(gain):.1f}" data-gain>'
    return f"""<div class="pictures">
<figure><figcaption>picture {number}: a on the left, b on the right of the line</figcaption>
<div class="both" style="--cut:50%"><img alt="a" src="{_png(a)}"><img alt="b" class="over" src="{_png(b)}"><span></span></div>
<label>a <input type="range" min="0" max="100" value="50" data-cut> b</label></figure>
<figure><figcaption>their difference, at most {largest} of 255</figcaption>
<div class="frame"><img class="difference" alt="difference" style="filter:brightness({gain})" src="{_png(difference)}"></div>
<label>strength {strength} <output>{gain}</output> times</label></figure>
</div>"""


def _png(pixels: U8) -> str:
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(stream, "PNG")
    return f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode()}"
