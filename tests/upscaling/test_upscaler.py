"""Upscalers of pictures: sizes, modes, transparency, progress, what is refused, and whose bytes the results are."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import sdrt
from sdrt.arrays import Array
from sdrt.errors import ConfigError, ImageError, MissingFileError, ModelError, SdrtError, WeightsError
from sdrt.upscaling import NetworkUpscaler, Upscaler, find_upscaler, load_upscaler
from tests.hub_server import HubServer
from tests.upscalers import compact_tensors, rrdb, rrdb_tensors, save_upscaler


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small RRDBNet of scale 2 behind an unshuffle."""
    return save_upscaler(tmp_path_factory.mktemp("upscaler") / "x2.safetensors", rrdb_tensors(width=8, growth=4, blocks=1, unshuffle=2))


@pytest.fixture(scope="module")
def upscaler(file: Path) -> Upscaler:
    return load_upscaler(file)


def _picture(width: int = 30, height: int = 22, mode: str = "RGB") -> Image.Image:
    pixels = np.random.default_rng(5).integers(0, 256, (height, width, len(Image.new(mode, (1, 1)).getbands())), np.uint8)
    return Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels, mode)


def _bytes(image: Image.Image) -> Array:
    return np.asarray(image)


def test_a_picture_is_the_networks_rounded_to_bytes(upscaler: Upscaler) -> None:
    picture = _picture()
    network = rrdb(rrdb_tensors(width=8, growth=4, blocks=1, unshuffle=2), np.asarray(picture).transpose(2, 0, 1)[None] / 255.0)
    wanted = np.rint(np.clip(network[0].transpose(1, 2, 0), 0, 1) * 255)
    found = upscaler(picture)
    assert (found.mode, found.size) == ("RGB", (60, 44))
    # a value that is nearly a half may fall to either side
    assert np.abs(_bytes(found) - wanted).max() <= 1
    assert np.mean(_bytes(found) != wanted) < 1e-3


@pytest.mark.parametrize(
    ("size", "wanted"),
    [
        ({}, (60, 44)),
        ({"scale": 2}, (60, 44)),
        ({"scale": 3.5}, (105, 77)),
        ({"scale": 0.5}, (15, 11)),
        ({"width": 90}, (90, 66)),
        ({"height": 11}, (15, 11)),
        ({"width": 7, "height": 50}, (7, 50)),
        ({"scale": 0.001}, (1, 1)),
    ],
)
def test_sizes(size: dict[str, Any], wanted: tuple[int, int], upscaler: Upscaler) -> None:
    found = upscaler(_picture(), **size)
    assert found.size == wanted
    if wanted != (60, 44):
        # Lanczos behind the network, and nothing else
        assert np.array_equal(_bytes(found), _bytes(upscaler(_picture()).resize(wanted, Image.Resampling.LANCZOS)))


@pytest.mark.parametrize("name", ["lanczos", "bicubic", "nearest"])
def test_resamplings_are_pillows(name: str) -> None:
    found = load_upscaler(name)(_picture(), 2)
    assert np.array_equal(_bytes(found), _bytes(_picture().resize((60, 44), Image.Resampling[name.upper()])))


def test_a_list_gives_a_list_and_each_its_own_size(upscaler: Upscaler) -> None:
    found = upscaler([_picture(), _picture(10, 8)])
    assert [each.size for each in found] == [(60, 44), (20, 16)]
    assert np.array_equal(_bytes(found[0]), _bytes(upscaler(_picture())))
    assert upscaler([]) == []


def test_the_seam_of_other_parts(upscaler: Upscaler, file: Path) -> None:
    """What hi-res fix calls: pictures in, as many of one size out; and what a record says of the upscaler."""
    assert find_upscaler(upscaler) is upscaler
    found = find_upscaler(file).upscale([_picture(), _picture(10, 8)], 64, 48)
    assert [each.size for each in found] == [(64, 48), (64, 48)]
    assert (upscaler.name, len(upscaler.fingerprint), upscaler.scale) == ("x2.safetensors", 16, 2)
    resampler = find_upscaler("lanczos")
    assert (resampler.name, resampler.fingerprint, resampler.scale) == ("lanczos", "", None)
    assert [each.size for each in resampler.upscale([_picture()], 64, 48)] == [(64, 48)]


@pytest.mark.parametrize("choice", ["network", "lanczos"])
def test_transparency_is_kept(choice: str, upscaler: Upscaler) -> None:
    """The alpha channel by Lanczos; under it the colours as they are stored, so that no background shines through at an edge."""
    picture = _picture(mode="RGBA")
    found = (upscaler if choice == "network" else load_upscaler(choice))(picture, 2)
    assert found.mode == "RGBA"
    alpha = picture.getchannel("A").resize((60, 44), Image.Resampling.LANCZOS)
    assert np.array_equal(_bytes(found.getchannel("A")), _bytes(alpha))
    colours = Image.fromarray(_bytes(picture)[..., :3])
    if choice == "network":
        assert np.array_equal(_bytes(found)[..., :3], _bytes(upscaler(colours)))
    opaque = colours.copy()
    opaque.putalpha(255)
    assert upscaler(opaque).mode == "RGB"


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "CMYK", "YCbCr"])
def test_modes_are_read_as_input_pictures_are(mode: str, upscaler: Upscaler) -> None:
    picture = _picture(mode="RGB").convert(mode) if mode != "LA" else _picture(mode="LA")
    found = upscaler(picture)
    assert (found.mode, found.size) == ("RGBA" if mode == "LA" else "RGB", (60, 44))


def test_sixteen_bits_and_arrays(upscaler: Upscaler) -> None:
    greys = np.random.default_rng(1).integers(0, 65536, (22, 30)).astype(np.uint16)
    wide = upscaler(Image.fromarray(greys))
    eight = upscaler((greys // 257).astype(np.uint8))
    # the same but for the lower bits, which the network sees
    assert 0 < np.abs(_bytes(wide).astype(int) - _bytes(eight)).max() < 12
    assert np.array_equal(_bytes(upscaler(_bytes(_picture()))), _bytes(upscaler(_picture())))


def test_a_photograph_is_turned_upright(upscaler: Upscaler) -> None:
    picture = _picture()
    exif = picture.getexif()
    exif[0x0112] = 6
    picture.info["exif"] = exif.tobytes()
    assert upscaler(picture).size == (44, 60)


def test_progress_counts_all_tiles_and_what_it_raises_ends_the_call(file: Path) -> None:
    tiled = load_upscaler(file, tile=16, overlap=4)
    seen: list[tuple[int, int]] = []
    tiled([_picture(), _picture(10, 8)], on_progress=lambda done, total: seen.append((done, total)))
    assert seen == [(index, 7) for index in range(7)]

    class Stop(Exception):
        pass

    def stop(done: int, _total: int) -> None:
        if done == 2:
            raise Stop

    with pytest.raises(Stop):
        tiled(_picture(), on_progress=stop)
    assert tiled(_picture()).size == (60, 44)


def test_exact_numerics_give_the_same_bytes_for_any_threads(file: Path) -> None:
    first, second = (load_upscaler(file, numerics="exact", threads=threads, tile=16)(_picture()) for threads in (1, 3))
    assert np.array_equal(_bytes(first), _bytes(second))


def test_backends_agree(file: Path, upscaler: Upscaler) -> None:
    found = load_upscaler(file, "torch")(_picture())
    assert np.abs(_bytes(found).astype(int) - _bytes(upscaler(_picture()))).max() <= 1


def test_reduced_memory_closes_the_network_between_calls(file: Path, upscaler: Upscaler) -> None:
    small = load_upscaler(file, reduce_memory=True)
    assert isinstance(small, NetworkUpscaler)
    assert np.abs(_bytes(small(_picture())).astype(int) - _bytes(upscaler(_picture()))).max() <= 1
    assert not small._pool.is_open("upscaler")


def test_a_closed_upscaler_says_so(file: Path) -> None:
    with load_upscaler(file) as closed:
        pass
    with pytest.raises(SdrtError, match="closed"):
        closed(_picture())


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"tile": 0}, r"^tile must be a whole number from 16 to .*, or null, got 0"),
        ({"tile": 15}, r"^tile must be .* got 15"),
        ({"tile": 32, "overlap": 11}, r"^overlap must be at most a third of the tile of 32 pixels, got 11; pass 5"),
        ({"overlap": -1}, r"^overlap must be .* got -1"),
        ({"backend": "coreml"}, r"^backend of upscaler must be one of numpy, torch, got 'coreml'"),
        ({"backend": {"upscaler": "numpy"}}, r"^backend must be one name or Backend for an upscaler, got a mapping"),
        ({"backend": "nothing"}, r"^backend must be numpy, torch"),
        ({"tiles": 5}, r"^unknown option tiles; with backend numpy the options are threads"),
        ({"numerics": "float16"}, r"^numerics must be"),
        ({"pickled": "yes"}, r"^pickled must be"),
        ({"activation": "relu"}, None),
    ],
)
def test_options_are_refused_in_a_line(options: dict[str, Any], error: str | None, file: Path) -> None:
    if error is None:
        # of an RRDBNet the activation is known, and nothing is asked
        load_upscaler(file, **options)
        return
    with pytest.raises(ConfigError, match=error):
        load_upscaler(file, **options)


@pytest.mark.parametrize(
    ("arguments", "options", "error", "words"),
    [
        ((0,), {}, ConfigError, r"^scale must be a finite number above 0 and at most 64, or null, got 0"),
        ((float("nan"),), {}, ConfigError, r"^scale must be"),
        ((2,), {"width": 60}, ConfigError, r"^the size must be given once, got scale=2 and a width or height"),
        (
            (),
            {"width": 20_000, "height": 20_000},
            ConfigError,
            r"^the pixels of an enlarged picture must be at most 67108864, got 400000000",
        ),
        ((), {"width": 0}, ConfigError, r"^width must be"),
        ((), {"on_progress": 3}, ConfigError, r"^on_progress must be"),
    ],
)
def test_sizes_are_refused_in_a_line(arguments: Any, options: Any, error: type[SdrtError], words: str, upscaler: Upscaler) -> None:
    with pytest.raises(error, match=words):
        upscaler(_picture(), *arguments, **options)


@pytest.mark.parametrize("option", [{"tile": 64}, {"overlap": 8}, {"activation": "relu"}], ids=str)
def test_a_resampling_takes_no_option_of_a_network(option: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"{next(iter(option))} must be left out for lanczos, which is no network"):
        load_upscaler("lanczos", **option)


def test_what_the_network_makes_on_the_way_is_bounded_too(file: Path) -> None:
    small = load_upscaler(file, limits=sdrt.Limits(pixels=2000))
    with pytest.raises(ConfigError, match=r"^the pixels that x2\.safetensors makes must be at most 2000, got 2640"):
        small(_picture(), 0.5)
    with pytest.raises(ConfigError, match=r"^lanczos has no scale of its own; pass scale=2"):
        load_upscaler("lanczos")(_picture())


@pytest.mark.parametrize("picture", ["a.png", None, np.ones((4, 4)), Image.new("F", (4, 4)), Image.new("RGB", (0, 4))])
def test_no_picture_is_refused_in_a_line(picture: Any, upscaler: Upscaler) -> None:
    with pytest.raises(ImageError, match=r"^image must"):
        upscaler(picture)
    with pytest.raises(ImageError, match=r"^picture 2 must"):
        upscaler.upscale([_picture(), picture], 8, 8)
    with pytest.raises(ImageError, match=r"^pictures must be a list"):
        upscaler.upscale(_picture(), 8, 8)  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (5, 3), (17, 16)])
def test_pictures_smaller_than_an_overlap(size: tuple[int, int], file: Path) -> None:
    assert load_upscaler(file, tile=16, overlap=5)(_picture(*size)).size == (2 * size[0], 2 * size[1])


# ---- files


def _of(tensors: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {name: tensor for name, tensor in {**tensors, **changes}.items() if tensor is not None}


BAD_FILES: dict[str, tuple[dict[str, Any], type[SdrtError], str]] = {
    "a LoRA": ({"lora_unet_mid.lora_up.weight": torch.ones(2, 2)}, ModelError, r"must be an RRDBNet .*, got a LoRA; pass another file"),
    "a VAE": ({"decoder.up_blocks.0.conv.weight": torch.ones(2, 2)}, ModelError, r"got a VAE; pass"),
    "a transformer": ({"layers.0.residual_group.blocks.0.a": torch.ones(2)}, ModelError, r"got a transformer that enlarges"),
    "nothing known": ({"weight": torch.ones(2)}, ModelError, r"got none that sdrt knows"),
    "an ESRGAN+": (
        {"model.1.sub.0.RDB1.conv1x1.weight": torch.ones(2, 2, 1, 1), "model.1.sub.0.RDB1.conv1.0.weight": torch.ones(2, 2, 3, 3)},
        ModelError,
        r"got an ESRGAN\+",
    ),
    "greys": (
        _of(rrdb_tensors(blocks=1), **{"conv_first.weight": torch.ones(16, 1, 3, 3)}),
        ModelError,
        r"pictures of 3 channels .* got 1 and 3",
    ),
    "no last convolution": (
        _of(rrdb_tensors(blocks=1), **{"conv_last.weight": None}),
        ModelError,
        r"its first or its last convolution is missing",
    ),
    "smaller pictures": (rrdb_tensors(blocks=1, upsamplings=0, unshuffle=2), ConfigError, r"the upsamplings must undo the unshuffle by 2"),
    "a hole": (
        _of(rrdb_tensors(), **{"body.1.rdb2.conv3.weight": None}),
        WeightsError,
        r"tensor 'body\.1\.rdb2\.conv3\.weight' .* is missing",
    ),
    "a NaN": (
        _of(rrdb_tensors(blocks=1), **{"conv_hr.bias": torch.full((16,), float("nan"))}),
        WeightsError,
        r"conv_hr\.bias' holds 16 NaN",
    ),
    "another width": (
        _of(rrdb_tensors(blocks=1), **{"conv_hr.bias": torch.ones(9)}),
        WeightsError,
        r"conv_hr\.bias' must have shape \[16\]",
    ),
    "one tensor more": (
        _of(rrdb_tensors(blocks=1), **{"conv_extra.weight": torch.ones(3)}),
        WeightsError,
        r"every tensor of the upscaler must have a place .* got 1 tensor \('conv_extra\.weight'\)",
    ),
    "integers": (_of(rrdb_tensors(blocks=1), **{"conv_hr.bias": torch.ones(16, dtype=torch.int64)}), WeightsError, r"must be stored as"),
    "a compact one of greys": (_of(compact_tensors(), **{"body.0.weight": torch.ones(16, 1, 3, 3)}), ModelError, r"must take 3 channels"),
    "a compact one of no scale": (_of(compact_tensors(), **{"body.8.weight": torch.ones(7, 16, 3, 3)}), ModelError, r"its scale squared"),
    "a compact one without activations": (compact_tensors(activation="relu"), ConfigError, r"tensors do not say its activation; pass"),
}


@pytest.mark.parametrize("kind", BAD_FILES)
def test_files_that_are_no_upscalers_say_what_they_are(kind: str, tmp_path: Path) -> None:
    tensors, error, words = BAD_FILES[kind]
    file = save_upscaler(tmp_path / "a.safetensors", tensors)
    with pytest.raises(error, match=words) as caught:
        load_upscaler(file)
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_files_that_cannot_be_read(tmp_path: Path, file: Path) -> None:
    content = file.read_bytes()
    damaged, text = tmp_path / "cut.safetensors", tmp_path / "text.safetensors"
    damaged.write_bytes(content[: len(content) // 2])
    text.write_text("no weights")
    for bad in (damaged, text):
        with pytest.raises(WeightsError, match=r"not a whole safetensors file"):
            load_upscaler(bad)
    with pytest.raises(MissingFileError, match=r"no such file"):
        load_upscaler(tmp_path / "absent.safetensors")
    with pytest.raises(ModelError, match=r"an upscaler must be a file, got a folder"):
        load_upscaler(tmp_path)
    with pytest.raises(ModelError, match=r"got a LoRA"):
        load_upscaler("nano-outline")
    with pytest.raises(ConfigError, match=r"^upscaler must be a path or a repository's name"):
        load_upscaler("https://example.org/x4.pth")


def test_a_repository_of_the_hub(hub: HubServer, file: Path, upscaler: Upscaler) -> None:
    """Its only file of weights, or the one that is named; nothing else is fetched."""
    hub.add("someone/x2", {"x2.safetensors": file.read_bytes(), "README.md": b"an upscaler", "a.png": b"no"})
    hub.add("someone/many", {"other.safetensors": b"no", "folder/x2.safetensors": file.read_bytes()})
    for address in ("someone/x2", "someone/x2@main", "someone/many::folder/x2.safetensors"):
        found = load_upscaler(address)
        assert np.array_equal(_bytes(found(_picture())), _bytes(upscaler(_picture())))
        assert found.name == address.replace("@main", "")
    asked = {each.path.rpartition("/resolve/")[2].partition("/")[2] for each in hub.requests if "/resolve/" in each.path}
    assert asked == {"x2.safetensors", "folder/x2.safetensors"}
    with pytest.raises(ConfigError, match=r"^revision must come with a repository of the Hub"):
        load_upscaler(file, revision="main")
    hub.add("someone/none", {"README.md": b"no"})
    with pytest.raises(ModelError, match=r"an upscaler"):
        load_upscaler("someone/none")


@pytest.mark.parametrize("key", ["params_ema", "params", "state_dict", None])
def test_pickles_are_read_where_that_is_asked_for(key: str | None, tmp_path: Path, file: Path, upscaler: Upscaler) -> None:
    tensors = rrdb_tensors(width=8, growth=4, blocks=1, unshuffle=2)
    pickled = tmp_path / "x2.pth"
    others = {"params": {name: tensor + 1 for name, tensor in tensors.items()}} if key == "params_ema" else {}
    torch.save({key: tensors, **others} if key else tensors, pickled)
    with pytest.raises(MissingFileError, match=r"x2\.pth would have to be unpickled"):
        load_upscaler(pickled)
    found = load_upscaler(pickled, pickled="weights_only")(_picture())
    assert np.array_equal(_bytes(found), _bytes(upscaler(_picture())))


def test_wrappers_before_all_names_are_cut_off(tmp_path: Path, upscaler: Upscaler) -> None:
    tensors = rrdb_tensors(width=8, growth=4, blocks=1, unshuffle=2)
    for prefix in ("params_ema.", "module.", "generator.module."):
        file = save_upscaler(tmp_path / "a.safetensors", {prefix + name: tensor for name, tensor in tensors.items()})
        assert np.array_equal(_bytes(load_upscaler(file)(_picture())), _bytes(upscaler(_picture())))


def test_half_precision_files(tmp_path: Path, upscaler: Upscaler) -> None:
    tensors = {name: tensor.half() for name, tensor in rrdb_tensors(width=8, growth=4, blocks=1, unshuffle=2).items()}
    found = load_upscaler(save_upscaler(tmp_path / "a.safetensors", tensors))(_picture())
    assert np.abs(_bytes(found).astype(int) - _bytes(upscaler(_picture()))).max() < 8
