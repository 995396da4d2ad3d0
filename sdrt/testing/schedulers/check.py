"""Check a scheduler of one's own."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Literal

from sdrt.errors import ConfigError
from sdrt.printable import shown
from sdrt.schedulers import Compat
from sdrt.schedulers.catalogue import ALIASES, SAMPLERS, sampler_class
from sdrt.testing.explain import explain
from sdrt.testing.fault import Fault
from sdrt.testing.port_warnings import ignoring_warnings
from sdrt.testing.schedulers.add_noise import add_noise_faults
from sdrt.testing.schedulers.cases import SchedulerCase, cases_of
from sdrt.testing.schedulers.items import Item
from sdrt.testing.schedulers.mistakes import ENDS_ELSEWHERE, mistakes_of, other_samplers
from sdrt.testing.schedulers.paths import Path, follow
from sdrt.testing.schedulers.port import Maker, SchedulerPort, step_parameters
from sdrt.testing.schedulers.state import state_faults
from sdrt.testing.schedulers.traces import REFUSALS, Trace, trace
from sdrt.values import Integer, ListOf

__all__ = ["check_scheduler"]

# Faults after which the tables that add_noise reads are known to be wrong.
_OF_TABLES = {"wrong_noise_schedule", "sigmas_in_float16"}

# What wrong timesteps make of steps.
_CONSEQUENCES = {"unexplained", "last_step_uses_the_wrong_alpha", "another_sampler"}

# Runs that are looked into, of those that are wrong and of those that are right.
MOST_WRONG, MOST_RIGHT = 10, 6


@ignoring_warnings
def check_scheduler(
    make: Any,
    like: str = "DDIMScheduler",
    *,
    settings: Mapping[str, Any] | None = None,
    steps: Sequence[int] | None = None,
    compat: Literal["any", "diffusers"] | None = "any",
) -> list[Fault]:
    """Compare a scheduler with sdrt's own sampler of that name, call by call.

    Parameters
    ----------
    make : callable, or scheduler
        A class, or a function of settings as keywords (diffusers' keys), whose result has diffusers' habit: ``set_timesteps``,
        ``timesteps``, ``scale_model_input``, ``init_noise_sigma``, ``step(...).prev_sample``, ``add_noise``, in numpy or torch. All but the
        first two and ``step`` may be missing. It may also give, or be, a plain function of (x, t, output) or
        (x, t, output, noise) that returns the next sample; a maker of functions gets ``num_inference_steps`` if it has that parameter.
    like : str
        A class of diffusers, or one of the same form where diffusers has none: one of `sdrt.schedulers.class_names`.
    settings : mapping, optional
        Settings that the port always has, and that ``make`` is not passed. Of the others, those are varied that ``make`` takes.
    steps : sequence of int, optional
        The numbers of steps to run.
    compat : {"any", "diffusers"} or None
        Where sdrt corrects diffusers: "any" accepts both, "diffusers" what diffusers 0.42 does, None what is right.

    Returns
    -------
    list of Fault
        Empty if all is well.

    Raises
    ------
    ConfigError : an unknown ``like``, something that cannot make a scheduler, or settings with which sdrt itself cannot run

    >>> import sdrt
    >>> def make(**settings):
    ...     return sdrt.schedulers.from_config({"_class_name": "DDIMScheduler", **settings})
    >>> check_scheduler(make, like="DDIMScheduler", steps=[4])
    []
    """
    name = ALIASES.get(like, like)
    if name not in SAMPLERS:
        raise ConfigError(f"like must be one of sdrt.schedulers.class_names(), got {shown(like)}; choose one of those")
    if steps is not None:
        steps = ListOf(Integer(1), minimum=1).check("steps", steps, "pass such as [10, 20]")
    maker = Maker(make)
    fixed = dict(settings or {})
    compats: tuple[Compat, ...] = (None, "diffusers") if compat == "any" else (compat,)
    runs = _Runs(maker, fixed, compats)
    cases = cases_of(name, fixed, maker.settings if not maker.is_made else (), runs.step_options(name), steps)
    for case in cases:
        runs.add(case)
    if runs.refused and not runs.items and not runs.faults:
        return [Fault("raises", runs.refused[0])]
    if not runs.paths and not runs.faults:
        raise ConfigError(
            f"the settings of {name} must allow a run to compare with, got none of {len(cases)}; pass other settings or steps"
        )
    explained = _explained(name, runs.items)
    if any(fault.kind == "wrong_shape" for fault in runs.faults):  # of which every later number is a consequence
        explained = [fault for fault in explained if fault.kind != "unexplained"]
    faults = [*runs.faults, *explained]
    if not {fault.kind for fault in faults} & _OF_TABLES:
        faults += add_noise_faults(maker, fixed, runs.paths, compats)
    return faults + ([] if faults else state_faults(maker, fixed, runs.paths))


class _Runs:
    """All runs of a port, and what came of them."""

    def __init__(self, maker: Maker, fixed: Mapping[str, Any], compats: Sequence[Compat]) -> None:
        self._maker, self._fixed, self._compats = maker, fixed, compats
        self.items: list[Item] = []
        self.paths: list[Path] = []
        self.faults: list[Fault] = []
        self.refused: list[str] = []

    def step_options(self, name: str) -> frozenset[str] | None:
        """Return the options that the port's step takes, as a port of the plainest settings shows them."""
        try:
            return step_parameters(self._maker.build({}, 4))
        except REFUSALS:
            return frozenset(sampler_class(name).step_options)

    def add(self, case: SchedulerCase) -> None:
        """Run a case, along the original that the port is nearest to."""
        paths = [path for compat in self._compats if (path := follow(case, compat)) is not None]
        if len(paths) < len(self._compats):  # where diffusers fails, or sdrt does otherwise, nothing says what a port should do
            return
        traces: list[Trace] = []
        for path in paths:
            try:
                traces.append(trace(path, partial(self._open, case, path)))
            except REFUSALS as error:  # of settings that the port does not have, or of options in its first call
                self.refused.append(f"{case}: {type(error).__name__}: {error}")
                return
            except Exception as error:  # noqa: BLE001  # whatever the port raises is what is reported
                self._report([Fault("raises", f"{case}: {type(error).__name__}: {error}")])
                return
            if not traces[-1].num_wrong:
                break
        if traces:
            best = min(traces, key=lambda each: each.badness)
            self.items += best.items
            self.paths.append(best.path)
            self._report(best.faults)

    def _report(self, faults: Sequence[Fault]) -> None:
        """Keep the first fault of each kind."""
        known = {fault.kind for fault in self.faults}
        self.faults += [fault for fault in faults if fault.kind not in known]

    def _open(self, case: SchedulerCase, path: Path) -> SchedulerPort:
        passed = {key: value for key, value in case.config.items() if key != "_class_name" and key not in self._fixed}
        return self._maker.open(passed, case.n, case.stops, path.scheduler.timesteps)


def _only_the_last_call(items: Sequence[Item]) -> bool:
    """Return whether nothing is wrong but last steps."""
    return all(item.stage == "step" and item.call == len(item.path.inputs) - 1 for item in items if not item.is_right)


def _explained(name: str, items: Sequence[Item]) -> list[Fault]:
    """Explain a choice of what is wrong: the first runs, in which single settings are changed."""
    wrong = {id(item.path.case): item for item in items if not item.is_right}
    looked_at = {*list(wrong)[:MOST_WRONG]}
    sound = {*list(dict.fromkeys(id(item.path.case) for item in items if id(item.path.case) not in wrong))[:MOST_RIGHT]}
    chosen = [item for item in items if id(item.path.case) in looked_at | sound]
    mistakes, others = mistakes_of(name), other_samplers(name)
    if _only_the_last_call(chosen):
        mistakes = [*mistakes, ENDS_ELSEWHERE]
    faults = []
    for retimed in (False, True):
        own = [item for item in chosen if item.retimed == retimed]
        if retimed and _only_the_last_call(own):  # where a run of wrong timesteps ends is one more thing that they decide
            continue
        found = explain([item for item in own if not item.is_right], [item for item in own if item.is_right], mistakes, str, others)
        faults += [fault for fault in found if not (retimed and fault.kind in _CONSEQUENCES)]
    return faults
