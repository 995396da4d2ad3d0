"""`check_backend`: every network of a backend on small models, judged by the numpy backend in float64."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from sdrt.arrays import Numerics, float_dtype
from sdrt.backends import Backend, BackendOptions, Network, registry
from sdrt.backends.foreign import BackendKind
from sdrt.errors import ArrayContractError, ConfigError
from sdrt.testing.explain import Hypothesis, explain
from sdrt.testing.fault import Fault
from sdrt.testing.fault_kinds import KINDS
from sdrt.testing.networks.bench import Bench
from sdrt.testing.networks.cases import CASES, Case, checked_components, open_cases
from sdrt.testing.networks.conduct import CONDUCT
from sdrt.testing.networks.hypotheses import hypotheses_of, joined
from sdrt.testing.networks.judge import Examinee, Judge
from sdrt.testing.networks.opening import OPENING
from sdrt.testing.networks.subject import Subject
from sdrt.testing.networks.trials import Trial, describe, settings_of
from sdrt.values import Number

__all__ = ["check_backend"]

# How far a result may lie from the judge's, of the largest value: some thirty times what float32's rounding gives here, a million times
# float64's.
_BOUNDS: Mapping[Numerics, float] = {"float32": 1e-4, "exact": 1e-4, "float64": 1e-9}


def check_backend(
    backend: Backend | str, *, numerics: Numerics = "float32", bound: float | None = None, components: Iterable[str] | None = None
) -> list[Fault]:
    """Run a backend's networks beside the numpy backend in float64, on small models of every family that it writes for this.

    Inputs cover lengths of 1 to 231 tokens, sizes up to 104 latents (odd ones too), 1 to 5 rows, whole and fractional timesteps, residuals,
    bound inputs, calls at once, closing and refusals. A fault says what the difference probably is: networks with known mistakes are built
    for comparison, and one input after another is varied.

    Parameters
    ----------
    backend : Backend or str
        An object of the protocol `sdrt.backends.Backend`, or the name of one that is installed.
    numerics : "float32", "float64" or "exact"
        The promise that it is held to.
    bound : float, optional
        How far a result may lie from the judge's, of the largest value: by default 1e-4, in float64 1e-9; 1e-2 suits float16.
    components : iterable of str, optional
        The components to check. By default all, of which a backend may refuse some with ConfigError; those named here have to open, in one
        form at least.

    Returns
    -------
    list of Fault
        Empty if all is well.

    Raises
    ------
    ConfigError : no backend, a component that does not exist, or a bound that is not above 0

    >>> check_backend("numpy", components=["safety_checker"])
    []
    """
    dtype = float_dtype(numerics)
    if bound is not None:
        Number(0, above=True).check("bound", bound, "pass such as 1e-2")
    owner: Backend = registry.get(backend) if isinstance(backend, str) else BackendKind().check("backend", backend, "see sdrt.backends")
    names = checked_components(components)
    cases = [case for case in CASES if case.component in names]
    findings = _Findings()
    with TemporaryDirectory(prefix="sdrt-check-", ignore_cleanup_errors=True) as folder, ExitStack() as networks:
        refusals: dict[Case, str] = {}
        for case, model in open_cases(Path(folder), cases).items():
            try:
                network = owner.open(case.component, model, BackendOptions(numerics=numerics))
            except ConfigError as error:
                refusals[case] = str(error)
                continue
            except Exception as error:  # noqa: BLE001 whatever it raises is what is reported
                findings.faults.append(_raised(f"{case}: opening it", error))
                continue
            networks.callback(_close, network)
            judge = Judge.open(case.component, model)
            networks.callback(judge.network.close)
            bench = Bench(
                case, model.config(case.component), Examinee(network, dtype), judge, _BOUNDS[numerics] if bound is None else bound
            )
            _examine(Subject(owner, case, model, numerics, network, bench), findings)
        return [*_refused(refusals, cases, components is not None), *findings.faults, *findings.explained()]


@dataclass
class _Findings:
    """What came out so far."""

    faults: list[Fault] = field(default_factory=list)
    agreeing: list[Trial] = field(default_factory=list)
    differing: dict[Case, tuple[Bench, list[Trial]]] = field(default_factory=dict)

    def explained(self) -> list[Fault]:
        """Say of all differences what they probably are."""
        every = {case: _hypotheses(bench, trials) for case, (bench, trials) in self.differing.items()}
        differing = [trial for _, trials in self.differing.values() for trial in trials]
        agreeing = [trial for trial in self.agreeing if trial.case in self.differing]
        return explain(differing, agreeing, joined(every), str)


def _hypotheses(bench: Bench, differing: Sequence[Trial]) -> list[Hypothesis[Trial]]:
    """Return what may be wrong; nothing where the network fails in the experiments."""
    try:
        return hypotheses_of(bench, differing)
    except Exception:  # noqa: BLE001 the differences are reported all the same, as unexplained
        return []


def _close(network: Network) -> None:
    """Close a network after all checks; how it closes has been checked."""
    with suppress(Exception):
        network.close()


def _examine(subject: Subject, findings: _Findings) -> None:
    """Make all trials of a network, and see how it behaves."""
    bench, found = subject.bench, list[Trial]()
    try:
        for axis, setting in settings_of(subject.case):
            if (setting.residuals and not subject.network.signature.optional) or not bench.takes(setting):
                continue
            where = f"{subject}, {describe(subject.case, setting)}"
            # a signature cannot say that sides have to be multiples of 8: a network says it when it is called
            with suppress(ArrayContractError) if setting.height % 8 or setting.width % 8 else nullcontext():
                found.append(bench.trial(axis, setting))
    except Exception as error:  # noqa: BLE001 whatever it raises is what is reported
        findings.faults.append(_raised(where, error))
    unusable = [(trial, kind) for trial in found if (kind := _unusable(trial))]
    findings.faults += [Fault(kind, f"{trial.case}, {describe(trial.case, trial.setting)}: {KINDS[kind]}") for trial, kind in unusable[:1]]
    usable = [trial for trial in found if not _unusable(trial)]
    findings.agreeing += [trial for trial in usable if trial.error <= bench.bound and trial.cheap]
    if differing := [trial for trial in usable if trial.error > bench.bound]:
        findings.differing[subject.case] = (bench, differing)
    for check in (*CONDUCT, *OPENING):
        findings.faults += _guarded(check, subject)


def _unusable(trial: Trial) -> str | None:
    """Return the kind of fault of outputs that cannot be compared."""
    for name, x in trial.found.items():
        if name in trial.wanted and x.shape != trial.wanted[name].shape:
            return "wrong_shape"
        if not np.isfinite(x).all():
            return "not_finite"
    return None


def _guarded(check: Callable[[Subject], Iterator[Fault]], subject: Subject) -> list[Fault]:
    """Run one check; what it stumbles over is a fault too."""
    faults: list[Fault] = []
    try:
        faults += check(subject)
    except Exception as error:  # noqa: BLE001 whatever it raises is what is reported
        faults.append(_raised(f"{subject}, {check.__name__.strip('_').replace('_', ' ')}", error))
    return faults


def _refused(refusals: Mapping[Case, str], cases: Sequence[Case], named: bool) -> list[Fault]:
    """Return a fault for each component of which no form opens, if it was named; of all components it is one to open none."""
    if not named:
        first = next(iter(refusals.values()), "")
        return [Fault("opens_nothing", f"every component is refused: {first}")] if len(refusals) == len(cases) else []
    forms: dict[str, list[Case]] = {}
    for case in cases:
        forms.setdefault(case.component, []).append(case)
    shut = [those[0] for those in forms.values() if all(case in refusals for case in those)]
    return [Fault("component_refused", f"{case}: {refusals[case]}") for case in shut]


def _raised(where: str, error: Exception) -> Fault:
    return Fault("raises", f"{where}: {type(error).__name__}: {' '.join(str(error).split())}")
