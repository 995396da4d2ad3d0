"""The first module whose own error is out of line: each module of one network computed from the other network's values.

The values of one network are traced, and the other runs with them in place of its own (see ``trace`` of networks), so that what a module
gives differs by what happens in this module alone. What happens between modules shows where the next one takes its input. It is then put
down to the innermost module that contains both: attention's scale to the attention, a wrong order of pixels to the transformer.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sdrt.arrays import Array
from sdrt.backends.pool import CheckedNetwork
from sdrt.compare.findings import LayerRow
from sdrt.compare.networks import as_taken, fitting
from sdrt.compare.tolerances import Tolerances
from sdrt.errors import ConfigError
from sdrt.metrics import max_error, relative_error
from sdrt.recordings import Event

__all__ = ["compare_layers"]

_INPUT = ".input"

# Blocks whose inner values are traced together where all do not fit.
_BLOCK = re.compile(r"^(.*?\b(?:resnets|attentions|downsamplers|upsamplers|layers)\.\d+)")

# Bytes of inner values that are held of each network.
_BUDGET = 2**30
# All values of a block are some so many times its result: a transformer has some 25 modules, two of them eight and four times as wide.
_VALUES_A_BLOCK = 40
_VALUES_AN_INPUT = 2**18


@dataclass(frozen=True, eq=False)
class _Pair:
    """Two networks on the same inputs.

    Parameters
    ----------
    reference : CheckedNetwork
        Whose values are traced.
    runner : CheckedNetwork
        Which computes from them.
    names : sequence of str
        The modules that both know, in the order of the runner.
    """

    reference: CheckedNetwork
    runner: CheckedNetwork
    inputs: Mapping[str, Array]
    names: Sequence[str]

    @property
    def taken(self) -> frozenset[str]:
        """The modules whose input both know."""
        return frozenset(self.reference.trace_inputs) & frozenset(self.runner.trace_inputs)

    def values(self, names: Sequence[str]) -> dict[str, Array]:
        """Return the reference's values, and what its modules take."""
        taken = self.taken
        wanted = [*names, *(f"{name}{_INPUT}" for name in names if name in taken)]
        return self.reference.trace(wanted, **fitting(self.reference, self.inputs))

    def own(self, values: Mapping[str, Array], more: Mapping[str, Array]) -> dict[str, Array]:
        """Return what the runner's modules compute and take where each passes on these values."""
        substitutes = {name: x for name, x in {**more, **values}.items() if not name.endswith(_INPUT)}
        return self.runner.trace(list(values), substitutes, **fitting(self.runner, self.inputs))


def compare_layers(
    a: CheckedNetwork, b: CheckedNetwork, inputs: Mapping[str, Array], event: Event, tolerances: Tolerances
) -> Iterator[LayerRow]:
    """Yield each module's own error, in the order of computation, up to the end of the group that has the first departure.

    Parameters
    ----------
    a, b : CheckedNetwork
    inputs : mapping of arrays
        Of one call.
    event : Event
        That call.
    tolerances : Tolerances

    Raises
    ------
    ConfigError : neither network can compute from the other's values, or they know no module of one name
    """
    pair = _paired(a, b, as_taken(inputs, a, b))
    for values, own in _traced(pair):
        rows = list(_rows(values, own, event, tolerances))
        yield from rows
        if any(row.departs for row in rows):
            return


def _paired(a: CheckedNetwork, b: CheckedNetwork, inputs: Mapping[str, Array]) -> _Pair:
    runner = next((network for network in (b, a) if network.trace_inputs), None)
    if runner is None:
        raise ConfigError(
            f"{b.component}: layers must be compared with a network of numpy or torch on one side, got none; leave layers out"
        )
    reference = a if runner is b else b
    known = frozenset(reference.trace_names)
    names = [name for name in runner.trace_names if name in known]
    if not names:
        raise ConfigError(f"{b.component}: both networks must know modules of one name to compare layers, got none; leave layers out")
    return _Pair(reference, runner, inputs, names)


def _traced(pair: _Pair) -> Iterator[tuple[dict[str, Array], dict[str, Array]]]:
    """Yield the reference's values and the runner's own, group by group.

    A group is as many blocks as fit; of all others the results alone are replaced, so that no block inherits an error of one before it.
    """
    if _all_fit(pair.inputs):
        values = pair.values(pair.names)
        yield values, pair.own(values, {})
        return
    block = {name: (_BLOCK.match(name) or [name])[0] for name in pair.names}
    ends = [name for name in pair.names if block[name] == name]
    results = pair.reference.trace(ends, **fitting(pair.reference, pair.inputs))
    sizes = {end: results[end].nbytes * (_VALUES_A_BLOCK if _BLOCK.match(end) else 1) for end in results}
    groups: list[list[str]] = [[]]
    room = _BUDGET
    for end in results:
        if sizes[end] > room and groups[-1]:
            groups.append([])
            room = _BUDGET
        groups[-1] += [name for name in pair.names if block[name] == end]
        room -= sizes[end]
    # what no block of the reference's owns, as of a block whose result it does not know
    groups[-1] += [name for name in pair.names if block[name] not in results]
    for group in groups:
        values = pair.values(group)
        yield values, pair.own(values, results)


def _all_fit(inputs: Mapping[str, Array]) -> bool:
    """Return whether all inner values surely fit: they are some 100 000 times a denoiser's or an autoencoder's latents, at most."""
    pictures = [x.nbytes for x in inputs.values() if x.ndim == 4] or [x.nbytes for x in inputs.values()]
    return max(pictures) * _VALUES_AN_INPUT <= _BUDGET


def _rows(values: Mapping[str, Array], own: Mapping[str, Array], event: Event, tolerances: Tolerances) -> Iterator[LayerRow]:
    before, departed = "", ""
    for name, expected in values.items():
        module, enters = name.removesuffix(_INPUT), name.endswith(_INPUT)
        if name not in own or (module == departed and not enters):
            # what it takes is not the other side's, and so what it gives is not its own error
            continue
        taken = values.get(f"{module}{_INPUT}")
        allowed = tolerances.layer
        if "norm" in module.rpartition(".")[2] and taken is not None:
            allowed = max(allowed, tolerances.rounding * _condition(taken))
        row = LayerRow(
            component=str(event.component),
            step=event.step,
            layer=_shared_owner(before, module) if enters else _blamed(module, taken, values),
            error=_error(own[name], expected),
            allowed=allowed,
            at="input" if enters else "output",
            before=module if enters else "",
        )
        yield row
        departed = module if enters and row.departs else departed
        before = before if enters else module


def _error(value: Array, expected: Array) -> float:
    if value.shape != expected.shape:
        return float("inf")
    top = float(np.abs(expected).max(initial=0.0))
    return max(max_error(value, expected) / (top or 1.0), relative_error(value, expected))


def _condition(taken: Array) -> float:
    """Return the square of mean over deviation, the worst of a channel.

    By so much the rounding of a variance grows that is computed as a difference of means, as torch's group norm does.
    """
    axis = tuple(range(2, taken.ndim)) if taken.ndim > 2 else (-1,)
    wide = taken.astype(np.float64)
    mean, deviation = wide.mean(axis), wide.std(axis)
    return float(np.max(np.square(mean) / np.maximum(np.square(deviation), 1e-12), initial=0.0))


def _shared_owner(before: str, module: str) -> str:
    """Return the innermost module that contains both.

    >>> _shared_owner("mid_block.attentions.0.norm1", "mid_block.attentions.0.attn1.to_out.0")
    'mid_block.attentions.0'
    >>> _shared_owner("down_blocks.0.resnets.0", "down_blocks.0.resnets.1.norm1")
    'down_blocks.0'
    """
    shared = []
    for one, other in zip(before.split("."), module.split("."), strict=False):
        if one != other:
            break
        shared.append(one)
    while shared and (shared[-1] in _LISTS or ".".join(shared) == module):
        shared.pop()
    return ".".join(shared)


# Lists of modules, which compute nothing.
_LISTS = frozenset(
    {"resnets", "attentions", "downsamplers", "upsamplers", "layers", "transformer_blocks", "down_blocks", "up_blocks", "to_out", "net"}
)

# The last product of an attention or a gated product, which takes what no module gives or what a package does not name.
_LAST_PRODUCTS = {".to_out.0": "", ".out_proj": "", ".net.2": ".net.0"}


def _blamed(module: str, taken: Array | None, values: Collection[str]) -> str:
    """Return the module, or what is around the last product of one where nothing is known of what this product takes."""
    for ending, source in _LAST_PRODUCTS.items():
        owner = module.removesuffix(ending)
        if taken is None and module.endswith(ending) and not (source and f"{owner}{source}" in values):
            return owner
    return module
