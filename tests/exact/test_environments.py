"""The golden bytes under other BLAS kernels, thread counts and instructions; `benchmarks.environments` tries many more."""

import platform
import sys

import pytest

from benchmarks.environments import Environment, compute, dispatched
from sdrt.verification.digests import total
from sdrt.verification.table import read_table

SECTIONS = ("functions", "networks")

pytestmark = pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="the settings are for x86-64")


def settings() -> list[Environment]:
    """Kernels without AVX and numpy without vector instructions on two threads, and others on one; the table may come from a third."""

    narrow = {"OPENBLAS_CORETYPE": "Nehalem", "NPY_DISABLE_CPU_FEATURES": dispatched(sys.executable)}
    return [
        Environment(name="narrow", threads=2, variables=narrow),
        Environment(name="Haswell", variables={"OPENBLAS_CORETYPE": "Haswell"}),
    ]


def test_exact_results_are_the_golden_ones_in_every_environment() -> None:
    found = [compute(environment, SECTIONS) for environment in settings()]
    assert not [each for each in found if "error" in each]
    golden = {key: total(dict(stages)) for key, stages in read_table().items() if key.split(":")[0] in SECTIONS}
    assert {each["sha256"] for each in found} == {total(golden)}
    # or the environments are none
    assert len({each["float32"] for each in found}) > 1
