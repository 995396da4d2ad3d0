"""Find the first module of a network that departs, where it can be looked into."""

from collections.abc import Iterator

from sdrt.backends import TraceableNetwork
from sdrt.testing.explain import Hypothesis
from sdrt.testing.networks.bench import Bench
from sdrt.testing.networks.judge import largest_error
from sdrt.testing.networks.trials import Trial

__all__ = ["first_departure"]


def first_departure(bench: Bench, plain: Trial) -> Iterator[Hypothesis[Trial]]:
    """Yield the first module, in the order of computation, whose value departs in a plain call."""
    network, judge = bench.examinee.network, bench.judge.network
    names = [name for name in judge.trace_names if name in getattr(network, "trace_names", ())]
    if not names or not isinstance(network, TraceableNetwork):
        return
    wanted = judge.trace(names, **plain.inputs)
    found = network.trace(names, **bench.examinee.cast(plain.inputs))
    for name, value in wanted.items():
        error = largest_error({"": found[name]}, {"": value}) if name in found else 0.0
        if error > bench.bound:
            yield Hypothesis(
                "module_wrong", f"the first module that departs is {name}, by {error:.2g} of its largest value", lambda _: True
            )
            return
