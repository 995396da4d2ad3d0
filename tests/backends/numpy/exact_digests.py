"""Print the digest of every output of some networks under exact numerics, for a process of its own: which BLAS kernels and vector
instructions numpy uses is decided when it is imported.

    python exact_digests.py MODEL_FOLDER SIDE THREADS COMPONENT...
"""

import hashlib
import json
import sys
from pathlib import Path

import numpy as np

from sdrt.arrays import Array
from sdrt.backends import BackendOptions, Network, registry
from sdrt.models import open_model


def inputs_of(network: Network, side: int) -> dict[str, Array]:
    """Inputs for a signature: two rows, and ``side`` wherever any size will do."""
    inputs = {}
    for index, spec in enumerate(network.signature.inputs):
        shape = [2, *(side if isinstance(size, frozenset) or size is None else size for size in spec.shape[1:])]
        rng = np.random.default_rng(index)
        inputs[spec.name] = (
            rng.integers(0, 300, shape).astype(np.int32) if spec.dtype == "int32" else rng.standard_normal(shape).astype(spec.dtype)
        )
    return inputs


def main(folder: str, side: str, threads: str, *components: str) -> dict[str, str]:
    digests = {}
    for component in components:
        options = BackendOptions(numerics="exact", threads=int(threads))
        network = registry.get("numpy").open(component, open_model(Path(folder)), options)  # type: ignore[arg-type]
        for name, x in network(**inputs_of(network, int(side))).items():
            digests[f"{component} {name}"] = hashlib.sha256(x.tobytes()).hexdigest()
        network.close()
    return digests


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(*sys.argv[1:])))
