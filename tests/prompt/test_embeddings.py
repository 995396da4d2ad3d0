"""Textual inversion: files, tokens, ids and images, compared with diffusers."""

import hashlib
import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

import sdrt
from sdrt.errors import ConfigError, MissingFileError, ModelError, WeightsError
from sdrt.models import ComponentTensors, read_embedding
from sdrt.records.png_metadata import parameters_text, text_chunks
from sdrt.tokenizer import ClipTokenizer
from tests.factories import Form, vocabulary
from tests.pictures import psnr
from tests.prompt.peers import draw, open_peer, skipped

QUICK: dict[str, Any] = {"num_inference_steps": 4, "guidance_scale": 5.0}
WIDTHS: dict[Form, int] = {"sd1": 32, "sd2": 48}
FIRST = len(vocabulary())


def vectors(seed: int, *shape: int, dtype: str = "float32") -> Any:
    """As large as the random model's own table."""
    return (np.random.default_rng(seed).standard_normal(shape) / shape[-1] ** 0.5).astype(dtype)


def save(file: Path, **tensors: np.ndarray) -> Path:
    save_file(tensors, file)
    return file


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("embeddings")
    return {
        "one": save(folder / "learned_embeds.safetensors", **{"<cat-toy>": vectors(1, 32)}),
        "many": save(folder / "midjourney.safetensors", emb_params=vectors(2, 4, 32)),
        "half": save(folder / "half.safetensors", **{"<Half>": vectors(3, 1, 32, dtype="float16")}),
    }


@pytest.fixture(scope="module")
def pair(models: dict[Form, Path], files: dict[str, Path]) -> tuple[sdrt.Pipeline, Any]:
    """sdrt and diffusers with the same three embeddings."""
    peer = open_peer(models["sd1"])
    for name, token in (("one", None), ("many", "midjourney"), ("half", None)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            peer.load_textual_inversion(str(files[name].parent), weight_name=files[name].name, token=token)
    return sdrt.load(models["sd1"], embeddings=list(files.values())), peer


PROMPTS = [
    "a <cat-toy> circle",
    "midjourney, a red circle",
    "a red circle in the midjourney style, midjourney",
    "<Half> and <cat-toy> (midjourney)",
    "red<cat-toy>blue <half>",
    "a <cat-toy midjourne",
]


@pytest.mark.parametrize("prompt", PROMPTS)
def test_ids_and_picture_equal_diffusers(pair: tuple[sdrt.Pipeline, Any], prompt: str) -> None:
    pipe, peer = pair
    assert pipe.tokenizer.encode(prompt) == peer.tokenizer(peer.maybe_convert_prompt(prompt, peer.tokenizer)).input_ids
    want = draw(peer, prompt, "blue <cat-toy>", 5, **QUICK)
    [got] = pipe.generate(prompt, "blue <cat-toy>", seed=5, prompt_syntax="plain", **QUICK).images
    assert psnr(got, want) >= 60


def test_the_ids_follow_the_models_own(pair: tuple[sdrt.Pipeline, Any]) -> None:
    pipe, _ = pair
    ids = pipe.tokenizer.encode
    assert ids("<cat-toy>")[1:-1] == [FIRST]
    assert ids("midjourney")[1:-1] == [FIRST + 1, FIRST + 2, FIRST + 3, FIRST + 4]
    assert ids("<half>")[1:-1] == [FIRST + 5]
    assert ids("midjourney_2")[1:-1] == [FIRST + 3]
    assert pipe.tokenizer.vocab_size == FIRST + 6
    assert pipe.tokenizer.decode(ids("<cat-toy> midjourney")) == "<cat-toy>midjourneymidjourney_1midjourney_2midjourney_3"


def test_any_case_gives_every_vector(pair: tuple[sdrt.Pipeline, Any]) -> None:
    """A departure: diffusers looks for further vectors in the prompt as typed, and finds only the first."""
    pipe, peer = pair
    prompt = "MidJourney"
    assert pipe.tokenizer.encode(prompt) == pipe.tokenizer.encode("midjourney")
    assert peer.tokenizer(peer.maybe_convert_prompt(prompt, peer.tokenizer)).input_ids[1:-1] == [FIRST + 1]


@pytest.mark.parametrize("token", ["<cat-toy>", "midjourney"])
def test_vectors_move_the_picture(models: dict[Form, Path], pair: tuple[sdrt.Pipeline, Any], files: dict[str, Path], token: str) -> None:
    pipe, _ = pair
    [got] = pipe.generate(f"a {token} circle", seed=5, **QUICK).images
    [plain] = sdrt.load(models["sd1"]).generate(f"a {token} circle", seed=5, **QUICK).images
    assert psnr(got, plain) < 40
    [weighted] = pipe.generate(f"a ({token}:1.6) circle", seed=5, **QUICK).images
    assert psnr(got, weighted) < 40


def test_a_prompt_without_the_token_keeps_its_picture(models: dict[Form, Path], pair: tuple[sdrt.Pipeline, Any]) -> None:
    one, two = (pipe.generate("a red circle", seed=5, **QUICK) for pipe in (pair[0], sdrt.load(models["sd1"])))
    assert one.latents.tobytes() == two.latents.tobytes()


def test_another_text_encoder_of_another_width(models: dict[Form, Path], tmp_path: Path) -> None:
    file = save(tmp_path / "x.safetensors", **{"<x>": vectors(4, 2, 48)})
    peer = open_peer(models["sd2"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        peer.load_textual_inversion(str(tmp_path), weight_name=file.name)
    [got] = sdrt.load(models["sd2"], embeddings={"<x>": file}).generate("a <x> circle", seed=5, clip_skip=1, **QUICK).images
    negative = skipped(peer, "", 1)
    assert psnr(got, draw(peer, "a <x> circle", None, 5, clip_skip=1, negative_prompt_embeds=negative, **QUICK)) >= 60


def test_the_token_is_the_callers_the_files_or_the_file_names(files: dict[str, Path]) -> None:
    read = [read_embedding(files["one"]), read_embedding(str(files["many"])), read_embedding(files["many"], "<mj>")]
    assert [each.token for each in read] == ["<cat-toy>", "midjourney", "<mj>"]
    assert [read_embedding(files[name]).vectors.shape for name in files] == [(1, 32), (4, 32), (1, 32)]


def test_settings_name_each_embedding_by_its_hash(pair: tuple[sdrt.Pipeline, Any], files: dict[str, Path]) -> None:
    pipe, _ = pair
    settings = pipe.generate("a MIDJOURNEY circle", "<half>", seed=5, **QUICK).settings
    sha256 = {name: hashlib.sha256(file.read_bytes()).hexdigest() for name, file in files.items()}
    want = {"<cat-toy>": sha256["one"], "midjourney": sha256["many"], "<Half>": sha256["half"]}
    assert json.loads(text_chunks(settings, 5)["sdrt"])["embeddings"] == want
    # AUTOMATIC1111 writes those that the prompts use, with twelve digits.
    used = f'TI hashes: "midjourney: {sha256["many"][:12]}, <Half>: {sha256["half"][:12]}"'
    assert used in parameters_text(settings, 5)
    assert "TI hashes" not in parameters_text(pipe.generate("a circle", seed=5, **QUICK).settings, 5)


def _bad_files(folder: Path) -> dict[str, Path]:
    pickled = folder / "style.pt"
    pickled.write_bytes(b"PK\x03\x04 a pickle inside")
    text = folder / "text.safetensors"
    text.write_text("no tensors")
    return {
        "pickle": pickled,
        "text": text,
        "missing": folder / "missing.safetensors",
        "empty": save(folder / "empty.safetensors"),
        "two": save(folder / "two.safetensors", a=vectors(1, 32), b=vectors(1, 32)),
        "xl": save(folder / "xl.safetensors", clip_l=vectors(1, 1, 768), clip_g=vectors(1, 1, 1280)),
        "cube": save(folder / "cube.safetensors", a=vectors(1, 2, 2, 32)),
        "none": save(folder / "none.safetensors", a=np.zeros((0, 32), np.float32)),
        "whole": save(folder / "whole.safetensors", a=np.zeros((1, 32), np.int64)),
        "nan": save(folder / "nan.safetensors", a=np.full((1, 32), np.nan, np.float32)),
        "wide": save(folder / "wide.safetensors", **{"<wide>": vectors(1, 48)}),
        "red": save(folder / "red.safetensors", emb_params=vectors(1, 32)),
        "re": save(folder / "re.safetensors", emb_params=vectors(1, 32)),
        "good": save(folder / "good.safetensors", emb_params=vectors(1, 2, 32)),
        "Good": save(folder / "twin.safetensors", GOOD=vectors(1, 32)),
        "second": save(folder / "good_1.safetensors", emb_params=vectors(1, 32)),
        "long": save(folder / "long.safetensors", **{"<long>": vectors(1, 76, 32)}),
    }


@pytest.mark.parametrize(
    ("names", "kind", "message"),
    [
        (["pickle"], WeightsError, r"style\.pt: would have to be unpickled, which can run code: convert it to safetensors first"),
        (["text"], WeightsError, r"text\.safetensors: not a whole safetensors file"),
        (["missing"], MissingFileError, r"missing\.safetensors: no such file; an embedding is a safetensors file"),
        (["empty"], WeightsError, r"an embedding must be one tensor, under its token or emb_params, or clip_l and clip_g, got none; take"),
        (["two"], WeightsError, r"an embedding must be one tensor.*got 2 tensors \('a', 'b'\); take another"),
        (["xl"], ConfigError, r"xl\.safetensors: 'xl' must have vectors for each text encoder of sd1, which has 1, got them for 2"),
        (["cube"], WeightsError, r"must be a vector, or some rows of them, got shape \[2, 2, 32\]"),
        (["none"], WeightsError, r"must be a vector, .*, got shape \[0, 32\]"),
        (["whole"], WeightsError, r"must be stored as .*, got I64"),
        (["nan"], WeightsError, r"holds 32 NaN or infinite values"),
        (["wide"], ConfigError, r"the vectors of '<wide>' must have 32 numbers for the text encoder of sd1 .*, got 48"),
        (["re"], ConfigError, r"an embedding's token must be new, got 're' for 're', which this tokenizer has already"),
        (["good", "good"], ConfigError, r"both have the token 'good'; give one of them another"),
        (
            ["good", "Good"],
            ConfigError,
            r"embeddings' tokens must differ \(in any case\), got 'good' and 'GOOD' with 'good'; rename one",
        ),
        (["good", "second"], ConfigError, r"embeddings' tokens must differ .*, got 'good' and 'good_1' with 'good_1'"),
        (["long"], ConfigError, r"an embedding must have at most 75 vectors, a chunk's size, got 76 for '<long>'"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_clear_error(
    models: dict[Form, Path], tmp_path: Path, names: list[str], kind: type[Exception], message: str
) -> None:
    files = _bad_files(tmp_path)
    with pytest.raises(kind, match=message) as caught:
        sdrt.load(models["sd1"], embeddings=[files[name] for name in names])
    assert "\n" not in str(caught.value)


def test_a_token_may_be_a_word_of_several_tokens(models: dict[Form, Path], tmp_path: Path) -> None:
    """`red` is a token only with its end of word; without it, diffusers allows the name too."""
    pipe = sdrt.load(models["sd1"], embeddings=[_bad_files(tmp_path)["red"]])
    assert pipe.tokenizer.encode("red")[1:-1] == [FIRST]


@pytest.mark.parametrize("token", ["", " ", " <x>", "<x>\n"])
def test_a_token_is_text_without_blanks_at_its_ends(models: dict[Form, Path], files: dict[str, Path], token: str) -> None:
    with pytest.raises(ConfigError, match=r"an embedding's token must be text"):
        sdrt.load(models["sd1"], embeddings={token: files["one"]})


def test_one_file_is_not_a_list_of_files(models: dict[Form, Path], files: dict[str, Path]) -> None:
    with pytest.raises(ConfigError, match=r"embeddings must be a mapping .* or a list whose entries are .*, got '"):
        sdrt.load(models["sd1"], embeddings=str(files["one"]))


@pytest.mark.parametrize("ids", [range(49408), range(49400, 49410), range(49408, 49408), range(49408, 49420, 2)])
def test_ids_of_embeddings_are_a_run_behind_the_vocabulary(clip: ClipTokenizer, ids: range) -> None:
    with pytest.raises(ConfigError, match=r"the ids of embedding '<x>' must be a run from 49408 on, got range"):
        clip.with_embeddings({"<x>": ids})


@given(st.text(max_size=30))
@settings(max_examples=50)
def test_other_text_keeps_its_ids(clip: ClipTokenizer, text: str) -> None:
    more = clip.with_embeddings({"<cat-toy>": range(49408, 49411)}).with_embeddings({"<dog>": range(49411, 49412)})
    assert more.encode(text) == clip.encode(text)
    assert more.encode(f"{text}<DOG>{text}") == [*clip.encode(text)[:-1], 49411, *clip.encode(text)[1:]]


def test_weights_with_rows(models: dict[Form, Path]) -> None:
    weights = ComponentTensors([models["sd1"] / "text_encoder" / "model.safetensors"])
    [name] = [name for name in weights if name.endswith("token_embedding.weight")]
    own, rows = weights[name], vectors(1, 3, 32)
    longer = weights.with_rows(name, rows[:1]).with_rows(name, rows[1:])
    np.testing.assert_array_equal(longer[name], np.concatenate([own, rows]))
    np.testing.assert_array_equal(longer.take(name, (FIRST + 3, 32)), longer[name])
    assert weights[name].shape == own.shape == (FIRST, 32)
    with pytest.raises(WeightsError, match=rf"must have shape \[{FIRST}, 32\] by config.json, got \[{FIRST + 3}, 32\]"):
        longer.take(name, (FIRST, 32))
    with pytest.raises(WeightsError, match=r"rows of shape \[2, 7\] do not fit below it"):
        weights.with_rows(name, vectors(1, 2, 7))
    with pytest.raises(ModelError, match=r"tensor 'table' is missing; there is nothing to append rows to"):
        weights.with_rows("table", rows)
