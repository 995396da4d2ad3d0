"""How a network behaves around its numbers: names, types and memory of arrays, repeated calls and calls at once, bound inputs, closing."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np

from sdrt.arrays import Array, check_arrays
from sdrt.backends import signature
from sdrt.errors import ArrayContractError, BackendError
from sdrt.testing.fault import Fault
from sdrt.testing.networks.judge import Outputs, largest_error
from sdrt.testing.networks.subject import Subject
from sdrt.testing.networks.trials import PLAIN

__all__ = ["CONDUCT"]

_BATCH = replace(PLAIN, rows=2, width=16)


def _signature(subject: Subject) -> Iterator[Fault]:
    """Hold names and dtypes against the contract; sizes may be fewer, and outputs too where a format lacks them."""
    wanted = signature(subject.case.component, subject.bench.config, subject.numerics)
    own = subject.network.signature
    if [(spec.name, spec.dtype) for spec in own.inputs] != [(spec.name, spec.dtype) for spec in wanted.inputs]:
        named = [", ".join(f"{spec.name} {spec.dtype}" for spec in each.inputs) for each in (wanted, own)]
        yield Fault("signature_wrong", f"{subject}: its inputs must be {named[0]}, got {named[1]}")
    for what, specs, allowed in (("output", own.outputs, wanted.outputs), ("optional input", own.optional, wanted.optional)):
        known = {(spec.name, spec.dtype) for spec in allowed}
        for spec in specs:
            if (spec.name, spec.dtype) not in known:
                yield Fault("signature_wrong", f"{subject}: its contract has no {what} {spec.name} {spec.dtype}")


def _arrays(subject: Subject) -> Iterator[Fault]:
    """Check what a call gives: all that its signature names, of those dtypes and shapes."""
    found = subject.call(_BATCH)
    names = set(subject.network.signature.output_names())
    if lacking := names - found.keys():
        yield Fault("output_missing", f"{subject}: gives no {', '.join(sorted(lacking))}, which its signature names")
        return
    try:
        check_arrays(f"{subject}", subject.network.signature.outputs, found)
    except ArrayContractError as error:
        dtypes = {name: x.dtype for name, x in found.items()}
        promised = {spec.name: np.dtype(spec.dtype) for spec in subject.network.signature.outputs}
        yield Fault("wrong_dtype" if dtypes != promised else "wrong_shape", str(error))


def _memory(subject: Subject) -> Iterator[Fault]:
    """Call twice: neither call may change the other's inputs or outputs, and the same inputs give the same bits."""
    inputs = subject.inputs(_BATCH)
    before = _copies(inputs)
    first = subject.network(**inputs)
    if changed := [name for name, x in inputs.items() if not np.array_equal(x, before[name])]:
        yield Fault("changes_its_input", f"{subject}: a call changes its {', '.join(changed)}")
    for name, x in first.items():
        if any(np.shares_memory(x, y) for y in inputs.values()):
            yield Fault("output_is_others_memory", f"{subject}: {name} shares memory with an input")
        if not x.flags.writeable:
            yield Fault("output_is_others_memory", f"{subject}: {name} is read-only: it is somebody else's")
    kept = _copies(first)
    subject.network(**subject.inputs(replace(_BATCH, seed=5)))
    if changed := [name for name, x in first.items() if not np.array_equal(x, kept[name], equal_nan=True)]:
        yield Fault("output_is_others_memory", f"{subject}: the next call overwrites {', '.join(changed)} of the one before")
    for x in first.values():
        if x.flags.writeable:
            x[...] = 0
    again = subject.network(**_copies(before))
    if not _same(again, kept):
        yield Fault("not_repeatable", f"{subject}: the same inputs give other numbers the second time, off by {_apart(again, kept)}")


def _kinds_of_arrays(subject: Subject) -> Iterator[Fault]:
    """Give arrays that are read-only and views with steps."""
    inputs = subject.inputs(_BATCH)
    wanted = subject.network(**_copies(inputs))
    strange = {name: np.repeat(x, 2, axis=-1)[..., ::2] for name, x in inputs.items()}
    for x in strange.values():
        x.flags.writeable = False
    found = subject.network(**strange)
    if largest_error(found, wanted) > subject.bench.bound:
        yield Fault("strided_inputs_wrong", f"{subject}: views with steps give other numbers, off by {_apart(found, wanted)}")


def _calls_at_once(subject: Subject) -> Iterator[Fault]:
    jobs = [subject.inputs(replace(PLAIN, seed=seed, width=width)) for seed, width in enumerate((8, 16, 8))]
    alone = [subject.network(**_copies(job)) for job in jobs]
    with ThreadPoolExecutor(3) as pool:
        together = list(pool.map(lambda job: subject.network(**_copies(job)), jobs * 2))
    worst = max(largest_error(found, wanted) for found, wanted in zip(together, alone * 2, strict=True))
    if worst > subject.bench.bound:
        yield Fault("calls_at_once_differ", f"{subject}: three calls at once give other numbers than one after another, off by {worst:.2g}")


def _binding(subject: Subject) -> Iterator[Fault]:
    """Bind one input after another, in one go and in two; what is bound is a copy, and is not taken again."""
    inputs = subject.inputs(_BATCH)
    wanted = subject.network(**_copies(inputs))
    for name in inputs:
        constant = inputs[name].copy()
        rest = {key: x.copy() for key, x in inputs.items() if key != name}
        bound = subject.network.bind(**{name: constant})
        before = bound(**_copies(rest))
        constant[...] = 1
        if largest_error(before, wanted) > subject.bench.bound:
            yield Fault("bound_inputs_wrong", f"{subject}: with {name} bound it gives other numbers, off by {_apart(before, wanted)}")
        elif largest_error(bound(**_copies(rest)), wanted) > subject.bench.bound:
            yield Fault("bound_inputs_not_copied", f"{subject}: {name} is bound without a copy: changing the array changes the network")
        elif largest_error(bound.bind(**rest)(), wanted) > subject.bench.bound:
            yield Fault("bound_inputs_wrong", f"{subject}: {name} bound first and the rest afterwards give other numbers")
        if _accepts(lambda bound=bound: bound(**inputs)):  # type: ignore[misc]
            yield Fault("wrong_names_accepted", f"{subject}: it takes {name} although that is bound; ArrayContractError says so")
        if largest_error(subject.network(**_copies(inputs)), wanted) > subject.bench.bound:
            yield Fault("bound_inputs_wrong", f"{subject}: binding {name} changes the network that it is bound from")
        bound.close()


def _names(subject: Subject) -> Iterator[Fault]:
    """Refuse names that are missing or unknown, and a part of the optional ones."""
    inputs = subject.inputs(_BATCH)
    unknown = {"glitter": next(iter(inputs.values()))}
    wrong: list[tuple[str, dict[str, Array]]] = [("no input at all", {}), ("an unknown input", {**inputs, **unknown})]
    wrong.append((f"a call without {next(iter(inputs))}", dict(list(inputs.items())[1:])))
    if subject.network.signature.optional:
        residuals = subject.inputs(replace(_BATCH, residuals=True))
        some = {name: x for name, x in residuals.items() if not name.startswith("additional") or name.endswith("_0")}
        wrong.append(("one residual without the others", some))
    for what, arrays in wrong:
        if _accepts(lambda arrays=arrays: subject.network(**arrays)):  # type: ignore[misc]
            yield Fault("wrong_names_accepted", f"{subject}: it takes {what}; ArrayContractError says so")
    if _accepts(lambda: subject.network.bind(**unknown)):
        yield Fault("wrong_names_accepted", f"{subject}: it binds an unknown input; ArrayContractError says so")


def _values(subject: Subject) -> Iterator[Fault]:
    """Refuse what a signature cannot exclude: ids outside the vocabulary, widths that do not go together."""
    inputs = subject.inputs(_BATCH)
    if "input_ids" in inputs:
        for bad in (10**6, -1):
            ids = inputs["input_ids"].copy()
            ids[-1, -1] = bad
            if _accepts(lambda ids=ids: subject.network(input_ids=ids)):  # type: ignore[misc]
                yield Fault("wrong_values_accepted", f"{subject}: it takes token id {bad}, which the vocabulary has not")
    if "time_ids" in inputs and inputs["time_ids"].shape[1] == 6:
        short = {**inputs, "time_ids": inputs["time_ids"][:, :5]}
        if _accepts(lambda: subject.network(**short)):
            yield Fault("wrong_values_accepted", f"{subject}: it takes five time_ids beside a pooled text for six")


def _closing(subject: Subject) -> Iterator[Fault]:
    """Close a bound network, then all; closing twice is fine, and every call afterwards is refused."""
    network, inputs = subject.reopened(), subject.inputs(PLAIN)
    bound, second = network.bind(**inputs), network.bind(**inputs)
    bound.close()
    second()
    network.close()
    network.close()
    calls: tuple[tuple[str, Callable[[], object]], ...] = (
        ("a call of the closed network", lambda: network(**inputs)),
        ("binding the closed network", lambda: network.bind(**inputs)),
        ("a call of a network that was bound from it", second),
        ("a call of a closed bound network", bound),
    )
    for what, call in calls:
        try:
            call()
        except BackendError:
            continue
        yield Fault("closing_ignored", f"{subject}: {what} is answered; BackendError says that it is closed")


CONDUCT = (_signature, _arrays, _memory, _kinds_of_arrays, _calls_at_once, _binding, _names, _values, _closing)


def _accepts(call: Callable[[], object]) -> bool:
    """Return whether a call that has to be refused with ArrayContractError is answered; another error goes on."""
    try:
        call()
    except ArrayContractError:
        return False
    return True


def _copies(arrays: Outputs) -> dict[str, Array]:
    return {name: x.copy() for name, x in arrays.items()}


def _same(found: Outputs, wanted: Outputs) -> bool:
    return found.keys() == wanted.keys() and all(np.array_equal(x, wanted[name], equal_nan=True) for name, x in found.items())


def _apart(found: Outputs, wanted: Outputs) -> str:
    return f"{largest_error(found, wanted):.2g} of the largest value"
