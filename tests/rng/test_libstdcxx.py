"""The stream `libstdc++` compared with the C++ library, and with what it gave where the tests were written."""

import hashlib
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import sdrt.rng
from sdrt.rng.glibc_log import log_float32
from sdrt.rng.minstd import Minstd
from tests.exact.poison import poison

# The class STDDefaultRNG of stable-diffusion.cpp's src/rng.hpp; arguments are the seed and the sizes of the draws.
PROGRAM = """
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
int main(int count, char** values) {
    if (!strcmp(values[1], "log")) {
        float x;
        while (fread(&x, 4, 1, stdin) == 1) { x = std::log(x); fwrite(&x, 4, 1, stdout); }
        return 0;
    }
    std::default_random_engine generator;
    generator.seed((unsigned int)strtoull(values[1], nullptr, 10));
    for (int i = 2; i < count; i++) {
        std::normal_distribution<float> distribution(0.0f, 1.0f);
        for (int n = atoi(values[i]); n > 0; n--) {
            float value = distribution(generator);
            fwrite(&value, 4, 1, stdout);
        }
    }
}
"""
SIZES = (16_384, 7, 16_384, 1, 2, 33)


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program, compiled."""
    if (compiler := shutil.which("g++")) is None:
        pytest.skip("there is no g++ here; the digests below were made with one")
    folder = tmp_path_factory.mktemp("libstdc++")
    (folder / "normals.cpp").write_text(PROGRAM)
    subprocess.run([compiler, "-O2", "-o", str(folder / "normals"), str(folder / "normals.cpp")], check=True)
    return folder / "normals"


@pytest.mark.parametrize("seed", [0, 1, 42, 93, 2**31 - 2, 2**31 - 1, 2**32 - 1, 2**32 + 5, 2**64 - 1])
def test_every_bit_is_the_librarys(seed: int, program: Path) -> None:
    """Draws of odd sizes included, behind which the second of two normals is dropped."""
    peer = subprocess.run([str(program), str(seed), *map(str, SIZES)], check=True, capture_output=True).stdout
    ours = sdrt.rng.stream("libstdc++", seed)
    drawn = np.concatenate([ours.normal(size) for size in SIZES])
    np.testing.assert_array_equal(drawn.view(np.uint32), np.frombuffer(peer, np.uint32))


def test_the_logarithm_is_glibcs(program: Path) -> None:
    """A million of the numbers between 2**-60 and 1, all exponents alike."""
    bits = np.random.default_rng(5).integers(np.float32(2.0**-60).view(np.uint32), 0x3F800001, 1_000_000, np.uint32)
    numbers = bits.view(np.float32)
    peer = subprocess.run([str(program), "log"], check=True, capture_output=True, input=numbers.tobytes()).stdout
    np.testing.assert_array_equal(log_float32(numbers).view(np.uint32), np.frombuffer(peer, np.uint32))


@pytest.mark.parametrize(
    ("seed", "digest"),
    [
        (42, "991800d1ec116c87103bfed51d5b344af14f877fdc7d6ec6385cd4bc5171a301"),
        (0, "3411179861bb0258cc06b6e5c697e37c09ea521f1ae2727b2b417495c859c71a"),
        (2**32 - 1, "3411179861bb0258cc06b6e5c697e37c09ea521f1ae2727b2b417495c859c71a"),
    ],
)
def test_the_bytes_that_gcc_12_gave(seed: int, digest: str) -> None:
    """g++ 12.2 on glibc 2.36, x86-64, from -O0 to -O3 -march=native: draws of 16384, 7 and 16384."""
    ours = sdrt.rng.stream("libstdc++", seed)
    assert hashlib.sha256(b"".join(ours.normal(size).tobytes() for size in (16_384, 7, 16_384))).hexdigest() == digest


def test_the_engine_gives_the_word_of_the_standard() -> None:
    """ISO C++ [rand.predef]: the 10000th consecutive invocation of a default-constructed minstd_rand0 produces 1043618065."""
    assert Minstd(1).words(10_000)[-1] == 1043618065


@given(counts=st.lists(st.integers(0, 9000), max_size=5))
def test_words_do_not_depend_on_how_they_are_asked_for(counts: list[int]) -> None:
    engine = Minstd(11)
    np.testing.assert_array_equal(np.concatenate([np.empty(0, np.uint64), *map(engine.words, counts)]), Minstd(11).words(sum(counts)))


def test_every_numerics_has_the_same_bytes() -> None:
    plain, wide, exact = (sdrt.rng.stream("libstdc++", 93, numerics=numerics) for numerics in ("float32", "float64", "exact"))
    drawn = plain.normal((4, 33))
    np.testing.assert_array_equal(exact.normal((4, 33)), drawn)
    np.testing.assert_array_equal(wide.normal((4, 33), "float64"), drawn.astype(np.float64))


def test_no_function_of_the_platform_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    poison(monkeypatch)
    drawn = sdrt.rng.stream("libstdc++", 42, numerics="exact").normal((4, 64, 64))
    monkeypatch.undo()
    np.testing.assert_array_equal(drawn, sdrt.rng.stream("libstdc++", 42).normal((4, 64, 64)))


def test_stable_diffusion_cpp_s_name_is_read() -> None:
    assert sdrt.rng.canonical_name("std_default") == "libstdc++"
    with sdrt.load("nano") as pipe:
        assert pipe.resolve("a cat", rng="std_default").rng == "libstdc++"
