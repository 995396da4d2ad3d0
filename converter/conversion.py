"""Run a conversion from its options to its files: one network in memory at a time, each file written whole or not at all."""

import gc
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from converter.checking import check_halves, check_package, memory_suffices
from converter.jobs import DENOISERS, Job, plan_jobs
from converter.metadata import differences, read_options
from converter.options import ConvertOptions
from converter.progress import ConversionStage, Progress, ProgressUpdate
from converter.report import Outcome, Report, Status
from converter.sidecars import check_folder, write_sidecars
from converter.sizes import resolve_sizes
from converter.source import model_name, open_source
from converter.storing import check_opens, store
from converter.tools import require_packages
from converter.workplace import move_into_place, output_folder, workplace
from sdrt.errors import ConfigError, ConversionError
from sdrt.log import log
from sdrt.models.coreml.names import Role, file_stem
from sdrt.models.coreml.traced_values import TracedValue
from sdrt.printable import shown

if TYPE_CHECKING:
    from converter.parts.traceable import TraceablePart
    from converter.tracing import ConvertedModel
    from converter.verification import Verification

__all__ = ["convert"]

_log = log.getChild("converter")
_PACKAGE_STAGES: tuple[ConversionStage, ...] = get_args(ConversionStage)[:-1]
APPLES_PSNR = 35.0  # the requirement of Apple's converter, in dB
_NOISE = 0.0  # dB: the error is as large as the largest value, and nothing of the network is left


def convert(options: ConvertOptions, *, progress: Progress | None = None) -> Report:
    """Convert the networks that the options request.

    A file already made with the same options is kept. Nothing is printed; messages go to ``logging.getLogger("sdrt.converter")``.

    Parameters
    ----------
    options : ConvertOptions
    progress : callable or None
        Called as each stage begins.

    Returns
    -------
    Report

    Raises
    ------
    ConfigError : options that contradict each other or the model
    ModelError : an unusable source
    ConversionError : a file exists that was made with other options, a package differs from its source, or writing fails
    MissingExtraError : a package of the extra ``convert`` is not installed
    """
    if not isinstance(options, ConvertOptions):
        raise ConfigError(f"options must be ConvertOptions, got {shown(options)}; pass converter.ConvertOptions(model=..., out=...)")
    if progress is not None and not callable(progress):
        raise ConfigError(f"progress must be a function, got {shown(progress)}; pass one, or leave it out")
    report = _Reporter(progress)
    require_packages("coremltools")
    outcomes: tuple[Outcome, ...] = ()
    remarks: Mapping[str, str] = {}
    with output_folder(options.out):
        asked = bool(options.parts or options.controlnets or options.refiner)
        if asked or not options.chunk:
            outcomes, remarks = _convert(options, report)
        if options.chunk and not ("unet" in options.parts or options.refiner):
            outcomes += tuple(_chunk_existing(options, report, required=not asked))
        resources = None
        if options.bundle:
            from converter.bundling import bundle

            report("", "bundling")
            resources = bundle(options.out, model_name(options.model))
    return Report(outcomes=outcomes, resources=resources, remarks=remarks)


class _Reporter:
    """Report each stage to the log and the caller, counted over all packages; ``number`` is the index of the current package."""

    def __init__(self, progress: Progress | None) -> None:
        self._progress, self.packages, self.number = progress, 1, 0

    def __call__(self, package: str, stage: ConversionStage, detail: str = "") -> None:
        _log.info("%s: %s %s", package or "all packages", stage, detail)
        if self._progress is not None:
            stages = len(_PACKAGE_STAGES)
            total = self.packages * stages
            done = self.number * stages + _PACKAGE_STAGES.index(stage) if stage in _PACKAGE_STAGES else total
            self._progress(ProgressUpdate(package=package, stage=stage, done=done, total=total, detail=detail))


@dataclass(frozen=True, kw_only=True)
class _Made:
    """What came of a package: its comparisons, each with its name, the reason if there was none, and its values by module path."""

    verifications: "tuple[tuple[str, Verification], ...]" = ()
    unverified: str = ""
    values: Mapping[str, TracedValue] = field(default_factory=dict)


def _convert(options: ConvertOptions, report: _Reporter) -> tuple[tuple[Outcome, ...], Mapping[str, str]]:
    require_packages("torch", "diffusers", "transformers")
    source = open_source(options)
    check_folder(options.out, source)
    sizes = resolve_sizes(source, options)
    plan = plan_jobs(source, sizes, options)
    remarks = dict(plan.remarks)
    for opened in (source, plan.refiner, *plan.controlnets.values()):
        remarks |= opened.model.remarks if opened is not None else {}
    for remark in remarks.values():
        _log.warning("%s", remark)
    report.packages = len(plan.jobs)
    up_to_date = {job.stem: _is_up_to_date(job) for job in plan.jobs}
    outcomes: list[Outcome] = []
    traces: dict[str, Mapping[str, TracedValue]] = {}
    for number, job in enumerate(plan.jobs):
        report.number = number
        with workplace(options.out) as work:
            outcome, values = _finish(job, up_to_date[job.stem], work, report)
        outcomes.append(outcome)
        if values:
            traces[job.stem if job.role == "controlnet" else job.role] = values
        gc.collect()
    made = [job.component for job, outcome in zip(plan.jobs, outcomes, strict=True) if outcome.status == "made" and job.source is source]
    write_sidecars(options.out, source, sizes, converted=made, refiner=plan.refiner, controlnets=plan.controlnets, traces=traces)
    return tuple(outcomes), remarks


def _package_path(out: Path, stem: str) -> Path:
    return out / f"{stem}.mlpackage"


def _half_paths(whole: Path, *, merge: bool) -> tuple[Path, ...]:
    """Return the paths of the packages that one is cut into."""
    endings = ("chunked_pipeline",) if merge else ("chunk1", "chunk2")
    return tuple(whole.with_name(f"{whole.stem}_{ending}.mlpackage") for ending in endings)


def _is_up_to_date(job: Job) -> bool:
    """Return whether the package exists and was made with the same options.

    Raises
    ------
    ConversionError : it exists, was made with other options, and may not be overwritten
    """
    path = _package_path(job.options.out, job.stem)
    if not path.exists() or job.options.overwrite:
        return False
    made_with = read_options(path)
    if made_with == job.build_options:
        _log.info("%s: exists, made with the same options; kept", path)
        return True
    state = "one without options" if made_with is None else f"one whose {differences(made_with, job.build_options)}"
    raise ConversionError(f"{path}: must be a package made with these options, got {state}; pass --overwrite, or another folder with -o")


def _finish(job: Job, up_to_date: bool, work: Path, report: _Reporter) -> tuple[Outcome, Mapping[str, TracedValue]]:
    """Make a package unless it is up to date, cut it in two if requested, and move everything into place; return its values too."""
    options = job.options
    path = _package_path(options.out, job.stem)
    made = _Made()
    if not up_to_date:
        made = _make(job, work / path.name, report)
        # The package is complete and verified, even if cutting it fails.
        move_into_place(work / path.name, path)
    verifications = made.verifications
    half_paths: tuple[Path, ...] = ()
    status: Status = "kept" if up_to_date else "made"
    if job.chunked:
        half_paths = _half_paths(path, merge=options.merge_chunks)
        if not (up_to_date and _were_made_with(half_paths, job.build_options)):
            status = "chunked" if up_to_date else "made"
            verifications += _cut(job.role, path, work, options, report)
    packages = (path, *half_paths)
    outcome = Outcome(role=job.role, packages=packages, status=status, verifications=verifications, unverified=made.unverified)
    return outcome, made.values


def _make(job: Job, path: Path, report: _Reporter) -> _Made:
    """Convert, compress and compare a network, and store it."""
    options = job.options
    verifications: list[tuple[str, Verification]] = []
    stored = path.parent / "uncompressed" / path.name if job.compressed else path
    stored.parent.mkdir(exist_ok=True)
    converted, checkable = _converted(job, stored, report)
    model, values = converted.model, converted.values
    del converted
    store(model, stored)
    check_opens(stored)
    checking = options.check and checkable
    report_check = partial(report, job.stem, "comparing with its source")
    if checking:
        from converter.verification.against_file import check_against_file

        check_against_file(job.source.model, job.component)
        min_psnr = APPLES_PSNR if options.min_psnr is None else options.min_psnr
        verifications.append(("converted", check_package(job, stored, report_check, min_psnr=min_psnr)))
    if job.compressed:
        report(job.stem, "compressing")
        _compress(model, job, path, report)
        del model
        if checking:
            # The loss of compression is reported; it is only an error if the caller limits it.
            min_psnr = _NOISE if options.min_psnr is None else options.min_psnr
            verifications.append(("compressed", check_package(job, path, report_check, min_psnr=min_psnr, sibling=[stored])))
    unverified = "memory cannot hold the network twice" if options.check and not checkable else ""
    return _Made(verifications=tuple(verifications), unverified=unverified, values=values)


def _converted(job: Job, package: Path, report: _Reporter) -> "tuple[ConvertedModel, bool]":
    """Return the network as a Core ML model in a package, with its metadata, and whether memory suffices to compare it with its source."""
    from converter.metadata import describe_part
    from converter.tracing import to_coreml

    options = job.options
    report(job.stem, "reading")
    part: TraceablePart = job.rewritten()
    checkable = memory_suffices(part.module)
    report(job.stem, "converting")
    converted = to_coreml(
        part,
        package,
        target=options.deployment_target,
        compute_unit=options.compute_unit,
        half_weights=not (options.float32_weights or job.compressed),
    )
    describe_part(converted.model, part, job)
    del part
    gc.collect()
    return converted, checkable


def _compress(model: Any, job: Job, path: Path, report: _Reporter) -> None:
    from converter.compression import compress

    report(job.stem, "compressing")
    assert job.options.compression is not None  # noqa: S101 job.compressed says so
    smaller = compress(
        model, job.options.compression, progress=lambda what, done, total: report(job.stem, "compressing", f"{what} ({done}/{total})")
    )
    store(smaller, path)
    check_opens(path)


def _were_made_with(packages: Sequence[Path], build_options: Mapping[str, Any]) -> bool:
    """Return whether all packages exist and were made with these options."""
    return all(package.exists() and read_options(package) == build_options for package in packages)


def _cut(role: Role, whole: Path, work: Path, options: ConvertOptions, report: _Reporter) -> "tuple[tuple[str, Verification], ...]":
    """Cut a package in two, move the halves into place, and return their comparison with it."""
    from converter.chunking import chunk

    report(whole.stem, "cutting in two")
    halves = chunk(whole, merge=options.merge_chunks, out=work)
    for half in halves:
        check_opens(half)
    verifications: tuple[tuple[str, Verification], ...] = ()
    if options.check:
        verification = check_halves(whole, halves, role, partial(report, whole.stem, "cutting in two"))
        verifications = (("cut in two", verification),)
    for half in halves:
        move_into_place(half, options.out / half.name)
    return verifications


def _chunk_existing(options: ConvertOptions, report: _Reporter, *, required: bool) -> Sequence[Outcome]:
    """Cut existing U-Nets in two; the source is not opened, and torch is not needed."""
    name = model_name(options.model)
    wholes = {role: path for role in DENOISERS if (path := _package_path(options.out, file_stem(role, name))).exists()}
    if not wholes:
        missing = (
            f"{options.out}: must hold a U-Net of {name} to cut in two ({file_stem('unet', name)}.mlpackage), got none; pass --convert-unet"
        )
        if required:
            raise ConfigError(missing)
        _log.warning("%s", missing)
    outcomes = []
    for role, path in wholes.items():
        made_with = read_options(path)
        half_paths = _half_paths(path, merge=options.merge_chunks)
        if made_with is not None and not options.overwrite and _were_made_with(half_paths, made_with):
            outcomes.append(Outcome(role=role, packages=(path, *half_paths), status="kept"))
            continue
        with workplace(options.out) as work:
            verifications = _cut(role, path, work, options, report)
        outcomes.append(Outcome(role=role, packages=(path, *half_paths), status="chunked", verifications=verifications))
    return outcomes
