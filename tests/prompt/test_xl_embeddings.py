"""Textual inversion of Stable Diffusion XL: vectors for two text encoders, in one file or in two, compared with diffusers."""

import warnings
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

import sdrt
from sdrt.errors import ConfigError
from sdrt.models import read_embedding
from tests.factories import normal, save_pipeline_folder, vocabulary
from tests.pictures import psnr
from tests.prompt.peers import draw

WIDTHS = (32, 48)
PROMPT = "a cat-toy on a <half> background"
SETTINGS: dict[str, Any] = {"num_inference_steps": 2, "guidance_scale": 4.0, "height": 32, "width": 40}


def vectors(seed: int, count: int, width: int) -> np.ndarray:
    """As large as the random model's own tables."""
    return normal(seed, count, width) / np.float32(width**0.5)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_pipeline_folder(tmp_path_factory.mktemp("models") / "sdxl", "sdxl")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("embeddings")
    both = {key: vectors(k, 3, width) for k, (key, width) in enumerate(zip(("clip_l", "clip_g"), WIDTHS, strict=True))}
    held = {"cat-toy": both, "first": {"<half>": vectors(5, 1, WIDTHS[0])}, "second": {"<half>": vectors(6, 1, WIDTHS[1])}}
    for name, tensors in held.items():
        save_file(tensors, root / f"{name}.safetensors")
    return {name: root / f"{name}.safetensors" for name in held}


@pytest.fixture(scope="module")
def pipe(folder: Path, files: dict[str, Path]) -> sdrt.Pipeline:
    # the second encoder's file first: its width says whose it is
    return sdrt.load(folder, threads=1, embeddings=[files["cat-toy"], files["second"], files["first"]])


@pytest.fixture(scope="module")
def peer(folder: Path, files: dict[str, Path]) -> Any:
    """diffusers' pipeline, with each half loaded into its text encoder, as its documentation shows."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        opened = diffusers.StableDiffusionXLPipeline.from_pretrained(folder)
        opened.set_progress_bar_config(disable=True)
        encoders = ((opened.text_encoder, opened.tokenizer), (opened.text_encoder_2, opened.tokenizer_2))
        for token, names, keys in (("cat-toy", ("cat-toy",) * 2, ("clip_l", "clip_g")), ("<half>", ("first", "second"), ("<half>",) * 2)):
            for (encoder, tokenizer), name, key in zip(encoders, names, keys, strict=True):
                state = {"emb_params": torch.from_numpy(sdrt_tensor(files[name], key))}
                opened.load_textual_inversion(state, token=token, text_encoder=encoder, tokenizer=tokenizer)
    # by this old rule it would take the pooled state of an embedding's token, see the test below
    opened.text_encoder_2.text_model.eos_token_id = len(vocabulary()) - 1
    return opened


def sdrt_tensor(file: Path, key: str) -> np.ndarray:
    from sdrt.models import ComponentTensors

    return ComponentTensors([file])[key].copy()


def test_each_text_encoder_has_its_own_vectors(pipe: sdrt.Pipeline, peer: Any) -> None:
    for component, theirs in (("text_encoder", peer.text_encoder), ("text_encoder_2", peer.text_encoder_2)):
        table = pipe.model.tensors(component)["embeddings.token_embedding.weight"]  # type: ignore[arg-type]
        wanted = theirs.get_input_embeddings().weight.detach().numpy()
        assert table.tobytes() == wanted[: len(table)].tobytes()
        assert len(table) == len(vocabulary()) + 4


def test_the_tokens_of_both_tokenizers_are_those_of_diffusers(pipe: sdrt.Pipeline, peer: Any) -> None:
    tokenizers = pipe._assembly.base.tokenizers.values()
    for own, theirs in zip(tokenizers, (peer.tokenizer, peer.tokenizer_2), strict=True):
        text = peer.maybe_convert_prompt(PROMPT, theirs)
        assert own.encode(PROMPT) == theirs(text).input_ids


def test_a_picture_is_that_of_diffusers(folder: Path, pipe: sdrt.Pipeline, peer: Any) -> None:
    want = draw(peer, PROMPT, "red", 93, **SETTINGS)
    [got] = pipe.generate(PROMPT, "red", seed=93, **SETTINGS).images
    assert psnr(got, want) >= 60
    with sdrt.load(folder, threads=1) as plain:
        assert psnr(plain.generate(PROMPT, "red", seed=93, **SETTINGS).images[0], want) < 40


def test_the_pooled_state_is_that_of_the_end_and_not_of_an_embedding(pipe: sdrt.Pipeline, peer: Any) -> None:
    """transformers takes the highest id under the id of the end that SDXL's configuration has, which an embedding then is."""
    ids = np.array([pipe._assembly.base.tokenizers["text_encoder_2"].encode("cat-toy")], np.int32)
    end = list(ids[0]).index(len(vocabulary()) - 1)
    assert end != ids[0].argmax()
    network = pipe._assembly.base.networks.get("text_encoder_2")
    pooled = network(input_ids=np.concatenate([ids, np.zeros((1, 77 - ids.shape[1]), np.int32)], axis=1))["pooled"]
    padded = torch.from_numpy(np.concatenate([ids, np.zeros((1, 77 - ids.shape[1]), np.int32)], axis=1)).long()
    with torch.no_grad():
        wanted = peer.text_encoder_2(padded).text_embeds.numpy()
    np.testing.assert_allclose(pooled, wanted, rtol=0, atol=1e-4 * float(np.abs(wanted).max()))


def test_the_record_has_the_digest_of_both_files(pipe: sdrt.Pipeline, files: dict[str, Path]) -> None:
    import hashlib

    data = files["first"].read_bytes() + files["second"].read_bytes()
    assert pipe.resolve("a").embeddings["<half>"] == hashlib.sha256(data).hexdigest()


def test_what_does_not_fit_both_is_refused(folder: Path, files: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"first\.safetensors: '<half>' must have vectors for each text encoder of sdxl, which has 2"):
        sdrt.load(folder, embeddings=[files["first"]])
    with pytest.raises(ConfigError, match=r"must have 48 numbers for the text encoder 2 of sdxl .*, got 32"):
        sdrt.load(folder, embeddings=[files["first"], files["first"]])
    with pytest.raises(ConfigError, match=r"both have the token 'cat-toy'"):
        sdrt.load(folder, embeddings=[files["cat-toy"], files["cat-toy"]])
    save_file({"<half>": vectors(7, 2, WIDTHS[1])}, tmp_path / "longer.safetensors")
    with pytest.raises(ConfigError, match=r"the embedding <half> must have as many vectors for both text encoders, got 1 and 2"):
        sdrt.load(folder, embeddings=[files["first"], tmp_path / "longer.safetensors"])
    renamed = [read_embedding(files[name], "<x>") for name in ("first", "second")]
    assert set(sdrt.load(folder, embeddings=renamed).model.embedding_ids("text_encoder_2")) == {"<x>"}
