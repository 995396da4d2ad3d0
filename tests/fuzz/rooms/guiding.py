"""Guidance: its scales, and predictions that are none."""

from typing import Any

import numpy as np

from sdrt import guidance
from tests.fuzz.drawing import Draw
from tests.fuzz.values import NUMBER, any_value, ascii_of, has_nan, near, wrong_kinds


def guide(draw: Draw) -> str | None:
    """A guidance of any scale, and what it makes of predictions."""
    given: dict[str, Any] = {"scale": 7.5, "rescale": 0.7, "embedding_size": None, "needs_unconditional": False}
    for name, settings in (("apg", _apg), ("dynamic_thresholding", _thresholding)):
        if draw.chance(0.3):
            given[name] = settings(draw)
    if draw.chance(0.2):
        given["embedding_size"] = draw.choice((1, 2, 3, 24, 0, -1))
    for name in draw.some(("scale", "rescale", "embedding_size", "needs_unconditional"), 2):
        given[name] = near(draw, given[name]) if draw.chance(0.3) else any_value(draw) if draw.chance(0.7) else given[name]
        draw.note(f"{name} = {ascii_of(given[name])}")
    chosen = guidance.choose_guidance(given.pop("scale"), given.pop("rescale"), **given)
    if any(has_nan(array) for array in chosen.unet_inputs.values()):
        return "NaN in an embedding"
    rows = len(chosen.rows)
    good = np.random.default_rng(1).standard_normal((rows * 2, 4, 3, 3)).astype(np.float32)
    predictions: Any = (
        good if draw.chance(0.7) else draw.choice((good[:1], good.astype("i4"), good[0], np.zeros((0, 4, 3, 3), "f4"), any_value(draw)))
    )
    sample, memory = np.ones_like(good[:2]), draw.choice((None, good[:2], good[:1]))
    call: Any = guidance.Call(0, 2, 999.0, sample, (1.25, -0.75), memory) if draw.chance(0.9) else any_value(draw)
    draw.note(ascii_of(predictions))
    with np.errstate(all="ignore"):
        guided = chosen(predictions, call)
    if predictions is good and (has_nan(guided.output) or guided.output.shape[0] != 2):
        return f"{type(chosen).__name__} gives NaN or another number of rows"
    return None


def _apg(draw: Draw) -> guidance.APG:
    values = {"eta": 0.0, "norm_threshold": 15.0, "momentum": -0.5}
    for name in draw.some(list(values), 1):
        values[name] = near(draw, values[name])
        draw.note(f"apg.{name} = {ascii_of(values[name])}")
    return guidance.APG(**values)


def _thresholding(draw: Draw) -> guidance.DynamicThresholding:
    values = {"percentile": 0.995, "mimic_scale": 7.0}
    for name in draw.some(list(values), 1):
        values[name] = near(draw, values[name])
        draw.note(f"dynamic_thresholding.{name} = {ascii_of(values[name])}")
    return guidance.DynamicThresholding(**values)


def schedule(draw: Draw) -> str | None:
    """A schedule's scales: their mean is the scale."""
    given: dict[str, Any] = {"schedule": draw.choice(("constant", "linear", "cosine")), "scale": 7.5, "num_steps": 20}
    for name in draw.some(list(given), 1):
        given[name] = near(draw, given[name]) if draw.chance(0.5) else any_value(draw)
        draw.note(f"{name} = {ascii_of(given[name])}")
    if isinstance(given["num_steps"], int) and given["num_steps"] > 10_000:
        given["num_steps"] = 10_000
    scales = guidance.scheduled_scales(**given)
    mean = sum(scales) / len(scales)
    return None if abs(mean - given["scale"]) <= 1e-9 * max(1, abs(given["scale"])) else f"a mean of {mean}"


def parts(draw: Draw) -> str | None:
    """The functions that guidance is made of."""
    a = np.random.default_rng(1).standard_normal((2, 4, 3, 3)).astype(np.float32)
    amount: Any = draw.choice((0.5, 1, 0)) if draw.chance(0.3) else any_value(draw)
    draw.note(ascii_of(amount))
    call = draw.choice(("guide", "rescale", "guidance_embedding", "is_guided", "split_rows"))
    draw.note(call)
    with np.errstate(all="ignore"):
        if call in ("guide", "rescale"):
            found: Any = getattr(guidance, call)(a, a + 1, amount)
        elif call == "guidance_embedding":
            found = guidance.guidance_embedding(draw.choice((amount, 7.5)), draw.choice((24, amount, 1, 2)))
        elif call == "is_guided":
            return (
                wrong_kinds({"guidance_scale": amount}, {"guidance_scale": NUMBER})
                if guidance.is_guided(amount) in (True, False)
                else "no truth"
            )
        else:
            found = a
            guidance.split_rows(a, draw.choice((("negative", "prompt"), amount)))
    if has_nan(found):
        return f"NaN from {call}"
    return wrong_kinds({"amount": amount}, {"amount": NUMBER}) if call in ("guide", "rescale") else None


GENERATORS = {"guidance": guide, "guidance-parts": parts, "guidance-schedule": schedule}
