"""Names that programs written for 0.1.0 use."""

import importlib

import pytest

import sdrt


def test_sdrt_image_is_the_room_of_pictures_with_a_warning() -> None:
    with pytest.warns(DeprecationWarning, match=r"sdrt\.image is deprecated; write sdrt\.images") as caught:
        assert sdrt.image is sdrt.images
    assert caught[0].filename == __file__
    with pytest.warns(DeprecationWarning, match=r"sdrt\.image is deprecated"):
        from sdrt import image
    assert {"open_picture", "read_text", "save_png", "to_bytes", "to_pil"} <= set(dir(image))


@pytest.mark.parametrize("room", ["backends", "errors", "guidance", "models", "prompt", "rng", "schedulers", "tokenizer"])
def test_every_room_of_0_1_0_is_there(room: str) -> None:
    assert getattr(sdrt, room) is importlib.import_module(f"sdrt.{room}")
