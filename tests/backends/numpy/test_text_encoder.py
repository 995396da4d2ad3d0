"""The text encoder against transformers' own."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from transformers import CLIPTextModel, CLIPTextModelWithProjection

from sdrt.arrays import I32, Numerics
from sdrt.errors import ArrayContractError
from tests.backends.numpy.reference import BOUNDS, NUMERICS, open_network, part_folder, relative_error, torch_text_encoder
from tests.factories import TEXT_ENCODERS_2, Form, vocabulary

END = len(vocabulary()) - 1


def _ids(n: int, length: int) -> I32:
    """Random words with an end token at another place in each row, and padding of end tokens after it."""
    ids = np.random.default_rng(n).integers(0, END, (n, length)).astype(np.int32)
    for row in range(n):
        ids[row, min(length - 1, 3 + 2 * row) :] = END
    return ids


@pytest.mark.parametrize("form", ["sd1", "sd2"])
@pytest.mark.parametrize("numerics", NUMERICS)
def test_agrees_with_transformers(folders: dict[Form, Path], form: Form, numerics: Numerics) -> None:
    """All three outputs, by both rules for the pooled state and with both activations."""
    network = open_network(folders[form], "text_encoder", numerics)
    reference = torch_text_encoder(CLIPTextModel.from_pretrained(folders[form] / "text_encoder"), numerics)
    for n, length in [(1, 77), (2, 77), (4, 10), (1, 1)]:
        ids = _ids(n, length)
        wanted, found = reference(ids), network(input_ids=ids)
        assert found.keys() == wanted.keys()
        for name in wanted:
            assert found[name].dtype == numerics
            assert relative_error(found[name], wanted[name]) < BOUNDS[numerics], name


def test_pooled_without_an_end_token(folders: dict[Form, Path]) -> None:
    """The old rule takes the highest id, the new one the first position, as transformers does."""
    ids = np.array([[5, 300, 7, 300], [9, 3, 1, 0]], np.int32)
    for form in ("sd1", "sd2"):
        encoder = CLIPTextModel.from_pretrained(folders[form] / "text_encoder")
        found = open_network(folders[form], "text_encoder")(input_ids=ids)["pooled"]
        assert relative_error(found, torch_text_encoder(encoder, "float32")(ids)["pooled"]) < BOUNDS["float32"]


@pytest.mark.parametrize("form", TEXT_ENCODERS_2)
@pytest.mark.parametrize("numerics", NUMERICS)
def test_second_encoder_of_stable_diffusion_xl(folders: dict[Form, Path], form: Form, numerics: Numerics) -> None:
    """CLIPTextModelWithProjection projects the pooled state, and its signature says to which width."""
    network = open_network(folders[form], "text_encoder_2", numerics)
    assert str(network.signature.outputs[2]) == f"pooled {numerics}[*,24]"
    reference = torch_text_encoder(CLIPTextModelWithProjection.from_pretrained(folders[form] / "text_encoder_2"), numerics)
    for n, length in [(1, 77), (3, 9)]:
        ids = _ids(n, length)
        wanted, found = reference(ids), network(input_ids=ids)
        for name in wanted:
            assert relative_error(found[name], wanted[name]) < BOUNDS[numerics], name


def test_prefix_of_transformers_4(folders: dict[Form, Path], tmp_path: Path) -> None:
    """Weights named `text_model. ...` are the same weights."""
    stored = load_file(folders["sd1"] / "text_encoder" / "model.safetensors")
    plain = {name.removeprefix("text_model."): tensor for name, tensor in stored.items()}
    folder = part_folder(tmp_path, "text_encoder", CLIPTextModel.from_pretrained(folders["sd1"] / "text_encoder"))
    results = []
    for prefix in ("", "text_model."):
        save_file({prefix + name: tensor for name, tensor in plain.items()}, folder / "text_encoder" / "model.safetensors")
        results.append(open_network(folder, "text_encoder")(input_ids=_ids(1, 7))["last_hidden_state"])
    assert np.array_equal(results[0], results[1])


def test_later_tokens_do_not_reach_earlier_ones(folders: dict[Form, Path]) -> None:
    """Attention is causal: changing one token leaves every state before it as it was, and moves its own and later ones."""
    network = open_network(folders["sd1"], "text_encoder", "float64")
    ids = _ids(1, 20)
    changed = ids.copy()
    changed[0, 12] = 7
    for name in ("last_hidden_state", "penultimate_hidden_state"):
        before, after = network(input_ids=ids)[name], network(input_ids=changed)[name]
        assert relative_error(after[:, :12], before[:, :12]) < 1e-12
        assert np.abs(after - before)[0, 12:].max(axis=1).min() > 1e-6


def test_ids_outside_the_vocabulary(folders: dict[Form, Path]) -> None:
    """An id that the table lacks is refused, a negative one too."""
    network = open_network(folders["sd1"], "text_encoder")
    for bad in (END + 1, -1):
        with pytest.raises(ArrayContractError, match=rf"input_ids holds .*{bad}.*the vocabulary has {END + 1} tokens"):
            network(input_ids=np.array([[0, bad]], np.int32))
