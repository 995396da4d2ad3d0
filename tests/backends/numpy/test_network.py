"""What holds for every network: threads, memory, closing, names of inputs."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from sdrt.arrays import Array
from sdrt.backends.numpy import blas
from sdrt.errors import BackendError
from sdrt.models import COMPONENTS, ComponentName
from tests.backends.numpy.reference import denoiser_inputs, open_network, relative_error
from tests.factories import Form, normal
from tests.image_prompts import ENCODER


def _inputs(component: ComponentName, seed: int = 0, size: int = 8, n: int = 2) -> dict[str, Array]:
    match component:
        case "text_encoder" | "text_encoder_2":
            return {"input_ids": np.random.default_rng(seed).integers(0, 300, (n, 12)).astype(np.int32)}
        case "unet":
            return denoiser_inputs("sdxl", n, size, size, seed=seed)
        case "controlnet":
            return denoiser_inputs("sdxl", n, size, size, seed=seed) | {"controlnet_cond": normal(seed + 5, n, 3, 8 * size, 8 * size)}
        case "safety_checker":
            return {"clip_input": normal(seed, n, 3, 28, 28)}
        case "vae_decoder":
            return {"z": normal(seed, n, 4, size, size)}
        case "vae_encoder":
            return {"x": normal(seed, n, 3, 8 * size, 8 * size)}
        case "upscaler":
            return {"image": normal(seed, n, 3, size, size)}
        case "t2i_adapter":
            return {"image": normal(seed, n, 3, 8 * size, 8 * size)}
        case "image_encoder":
            return {"pixel_values": normal(seed, n, 3, ENCODER["image_size"], ENCODER["image_size"])}
        case "image_projection":
            return {"image_embeds": normal(seed, n, ENCODER["projection_dim"])}


@pytest.mark.parametrize("component", COMPONENTS)
def test_calls_at_once_give_the_bytes_of_calls_alone(folders: dict[Form, Path], component: ComponentName) -> None:
    """Several threads on one network, itself of two threads, with sizes large enough to be shared out."""
    network = open_network(folders["sdxl"], component, threads=2)
    jobs = [_inputs(component, seed, size) for seed, size in enumerate((24, 8, 24, 16))]
    alone = [network(**job) for job in jobs]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda job: network(**job), jobs * 3))
    for found, wanted in zip(together, alone * 3, strict=True):
        assert all(np.array_equal(found[name], wanted[name]) for name in wanted)


@pytest.mark.parametrize("component", COMPONENTS)
def test_number_of_threads_moves_rounding_only(folders: dict[Form, Path], component: ComponentName) -> None:
    """One, two and three threads agree to a few units of the last place."""
    inputs = _inputs(component, size=24)
    wanted = open_network(folders["sdxl"], component, threads=1)(**inputs)
    for threads in (2, 3):
        found = open_network(folders["sdxl"], component, threads=threads)(**inputs)
        assert all(relative_error(found[name], wanted[name]) < 1e-5 for name in wanted)


@pytest.mark.parametrize("component", COMPONENTS)
def test_outputs_are_nobody_elses_memory(folders: dict[Form, Path], component: ComponentName) -> None:
    """Overwriting outputs or inputs of one call leaves the next call, and the outputs already given, alone."""
    network = open_network(folders["sdxl"], component)
    inputs = _inputs(component)
    before = {name: x.copy() for name, x in inputs.items()}
    first = network(**inputs)
    kept = {name: x.copy() for name, x in first.items()}
    assert all(np.array_equal(inputs[name], before[name]) for name in inputs)
    assert not any(np.shares_memory(x, y) for x in first.values() for y in inputs.values())
    network(**_inputs(component, seed=5))
    for name in kept:
        assert np.array_equal(first[name], kept[name])
        assert first[name].flags.writeable
        first[name][...] = 0
    second = network(**inputs)
    assert all(np.array_equal(second[name], kept[name]) for name in kept)


@pytest.mark.parametrize("component", COMPONENTS)
def test_closing(folders: dict[Form, Path], component: ComponentName) -> None:
    """Closing twice is fine; afterwards a call, a bind and whatever was bound say so."""
    network = open_network(folders["sdxl"], component)
    inputs = _inputs(component)
    bound = network.bind(**inputs)
    second = network.bind(**inputs)
    bound.close()
    second()
    network.close()
    network.close()
    for call in (lambda: network(**inputs), lambda: network.bind(**inputs), second, bound):
        with pytest.raises(BackendError, match=f"{component}: this network is closed; open the model again"):
            call()


def test_blas_keeps_its_threads_outside_a_call(folders: dict[Form, Path]) -> None:
    """Inside a call BLAS runs on one thread; afterwards, also after an error, it has as many as before."""
    functions = blas._thread_functions()
    if functions is None:
        pytest.skip("numpy does not run on OpenBLAS here")
    read, write = functions
    before = read()
    write(2)
    try:
        with blas.one_thread(), blas.one_thread():
            assert read() == 1
        assert read() == 2
        with pytest.raises(ZeroDivisionError), blas.one_thread():
            raise ZeroDivisionError
        assert read() == 2
        open_network(folders["sd1"], "vae_decoder", threads=1)(**_inputs("vae_decoder"))
        assert read() == 2
    finally:
        write(before)
