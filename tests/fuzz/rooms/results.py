"""What a call gives back, what a loop is asked, and the small records that callers make."""

from contextlib import closing
from typing import Any

import sdrt
from sdrt import backends, models
from sdrt.backends import registry
from tests.fuzz.drawing import Draw
from tests.fuzz.rooms.pipeline import fake_pipeline
from tests.fuzz.values import FLAG, PATH, TEXT, WHOLE, any_value, ascii_of, near, wrong_kinds

_QUICK: dict[str, Any] = {"seed": 1, "num_inference_steps": 2, "height": 64, "width": 64}


def results(draw: Draw) -> str | None:
    """Saving under names that are none."""
    result = fake_pipeline().generate(draw.choice(("a", "", "\x1b[31m", "../x", "con", "é" * 300, "a/b\\c:d")), **_QUICK)
    place = draw.place / "inside"
    place.mkdir()
    (place / "file").write_text("x")
    folder: Any = place / draw.choice(("out", "file", "file/x", "a/b/c", "x" * 300, "nul\0"))
    if draw.chance(0.3):
        folder = any_value(draw)
    if isinstance(folder, str) and not folder.startswith("/"):
        folder = f"{place}/{folder}"
    title: Any = None if draw.chance(0.5) else any_value(draw)
    draw.note(f"{ascii_of(folder)}, {ascii_of(title)}")
    files = result.save(folder, title=title) if title is not None else result.save(folder)
    repr(result)
    if not all(file.is_relative_to(draw.place) for file in files):
        return f"written to {files}"
    return wrong_kinds({"folder": folder, "title": title}, {"folder": PATH, "title": TEXT})


def loops(draw: Draw) -> str | None:
    """What a step is asked."""
    with closing(fake_pipeline().steps("a", num_images=2, **_QUICK)) as loop:
        for step in loop:
            image: Any = draw.choice((None, 0, 1)) if draw.chance(0.4) else any_value(draw)
            kind: Any = draw.choice(("vae", "latent", "taesd")) if draw.chance(0.7) else any_value(draw)
            draw.note(f"decode({ascii_of(image)}, {ascii_of(kind)})")
            step.decode(image, kind)
            if wrong := wrong_kinds({"image": image}, {"image": WHOLE}):
                return wrong
    return None


def small_records(draw: Draw) -> str | None:
    """``Limits``, ``SDXLSizes``, ``ControlNetInput``, ``BackendOptions``, and what is looked up by name."""
    call = draw.choice(("limits", "sizes", "control", "options", "path", "backend", "embedding", "template"))
    value = near(draw, draw.choice((3, 1.0, (64, 64), "nano", "numpy"))) if draw.chance(0.4) else any_value(draw)
    draw.note(f"{call} {ascii_of(value)}")
    if call == "limits":
        name = draw.choice(list(sdrt.Limits.__dataclass_fields__))
        sdrt.Limits(**{name: value})
        return wrong_kinds({name: value}, {name: WHOLE}) or (f"{name} is None" if value is None else None)
    if call in ("sizes", "control"):
        made: Any = (
            sdrt.SDXLSizes(**{draw.choice(list(sdrt.SDXLSizes.__dataclass_fields__)): value}) if call == "sizes" else _control(draw, value)
        )
        option = "sizes" if call == "sizes" else "control_image"
        fake_pipeline().resolve("a", **_QUICK, **{option: made})
        return None
    if call == "options":
        name = draw.choice(("numerics", "threads", "low_memory"))
        backends.BackendOptions(**{name: value})
        return wrong_kinds({name: value}, {"threads": WHOLE, "low_memory": FLAG})
    if call == "path":
        models.path(value)
        return None if isinstance(value, str) else "a path of no name"
    if call == "embedding":
        sdrt.load("nano", threads=1, embeddings=[sdrt.Embedding(value, value, value)]).resolve("a", **_QUICK)
        return f"an embedding of {ascii_of(value)}"
    if call == "backend":
        registry.get(value)
        return None if isinstance(value, str) else "a backend of no name"
    sdrt.load(value if draw.chance(0.3) else "nano", value, threads=1).resolve("a", **_QUICK)
    return None


def _control(draw: Draw, value: Any) -> sdrt.ControlNetInput:
    given: dict[str, Any] = {"image": value}
    given[draw.choice(list(sdrt.ControlNetInput.__dataclass_fields__))] = value
    return sdrt.ControlNetInput(**given)


GENERATORS = {"results": results, "loops": loops, "small-records": small_records}
