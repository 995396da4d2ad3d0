"""A conversion from its options to its files: one network in memory at a time, each file whole or not there."""

import gc
import logging
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from converter.checking import check_halves, check_package, room_to_check
from converter.extra import require_packages
from converter.jobs import DENOISERS, Job, plan_jobs
from converter.metadata import differences, read_options
from converter.options import ConvertOptions
from converter.progress import Progress, Step
from converter.report import Outcome, Report, Status
from converter.sidecars import check_folder, write_sidecars
from converter.sizes import Sizes, resolve_sizes
from converter.source import Source, model_name, open_source
from converter.storing import check_opens, move_into_place, workplace
from sdrt.errors import ConfigError, ConversionError
from sdrt.models.coreml.names import Role, file_stem

if TYPE_CHECKING:
    from converter.parts import Part
    from converter.verification import Verification

__all__ = ["convert"]

_log = logging.getLogger("sdrt.converter")
_STAGES = ("reading", "converting", "compressing", "comparing with its source", "cutting in two")
APPLES_PSNR = 35.0  # what Apple's converter asks for, in dB
_NOISE = 0.0  # an error as large as the largest value: nothing of the network is left


def convert(options: ConvertOptions, *, progress: Progress | None = None) -> Report:
    """Convert what the options ask for.

    A file that is there and was made with the same options is kept. Nothing is printed; ``logging.getLogger("sdrt.converter")`` tells.

    Parameters
    ----------
    options : ConvertOptions
    progress : callable or None
        Told of each stage as it begins.

    Returns
    -------
    Report

    Raises
    ------
    ConfigError : options that do not go together, or not with this model
    ModelError : the source cannot be used
    ConversionError : a file is there that was made with other options, a package is not what its source is, or writing fails
    MissingExtraError : a package of the extra ``convert`` is not installed
    """
    tell = _Teller(progress)
    require_packages("coremltools")
    if options.chunk and not (options.parts or options.controlnets or options.refiner):
        outcomes = tuple(_chunk_existing(options, tell))
    else:
        outcomes = _convert(options, tell)
    resources = None
    if options.bundle:
        from converter.bundling import bundle

        tell("", "bundling")
        resources = bundle(options.out, model_name(options.model))
    return Report(outcomes=outcomes, resources=resources)


class _Teller:
    """Counts stages of every package."""

    def __init__(self, progress: Progress | None) -> None:
        self._progress, self.packages, self.number = progress, 1, 0

    def __call__(self, package: str, stage: str, detail: str = "") -> None:
        _log.info("%s: %s %s", package or "all packages", stage, detail)
        if self._progress is not None:
            total = self.packages * len(_STAGES)
            done = self.number * len(_STAGES) + _STAGES.index(stage) if stage in _STAGES else total
            self._progress(Step(package=package, stage=stage, done=done, total=total, detail=detail))


def _convert(options: ConvertOptions, tell: _Teller) -> tuple[Outcome, ...]:
    require_packages("torch", "diffusers", "transformers")
    source = open_source(options)
    check_folder(options.out, source.name)
    sizes = resolve_sizes(source, options)
    jobs, controlnets, refiner = plan_jobs(source, sizes, options)
    tell.packages = len(jobs)
    kept = {job.stem: _kept(job, options) for job in jobs}
    outcomes = []
    for number, job in enumerate(jobs):
        tell.number = number
        with workplace(options.out) as work:
            outcomes.append(_finish(job, kept[job.stem], work, source, sizes, options, tell))
        gc.collect()
    converted = [job.component for job, outcome in zip(jobs, outcomes, strict=True) if outcome.status == "made" and job.source is source]
    write_sidecars(options.out, source, sizes, converted=converted, refiner=refiner, controlnets=controlnets)
    return tuple(outcomes)


def _place(stem: str, options: ConvertOptions) -> Path:
    return options.out / f"{stem}.mlpackage"


def _halves(whole: Path, options: ConvertOptions) -> tuple[Path, ...]:
    """What a package is cut into, by name."""
    endings = ("chunked_pipeline",) if options.merge_chunks else ("chunk1", "chunk2")
    return tuple(whole.with_name(f"{whole.stem}_{ending}.mlpackage") for ending in endings)


def _kept(job: Job, options: ConvertOptions) -> bool:
    """Whether a package is there already, made with the same options.

    Raises
    ------
    ConversionError : it is there, and was made with others
    """
    place = _place(job.stem, options)
    if not place.exists() or options.overwrite:
        return False
    made = read_options(place)
    if made == job.asked:
        _log.info("%s: is there, made with the same options; kept", place)
        return True
    other = (
        "does not say with which options it was made" if made is None else f"was made with other options: {differences(made, job.asked)}"
    )
    raise ConversionError(f"{place}: is there and {other}; pass --overwrite to make it anew, or another folder with -o")


def _finish(job: Job, kept: bool, work: Path, base: Source, sizes: Sizes, options: ConvertOptions, tell: _Teller) -> Outcome:
    """Make a package, or take the one that is there; cut it in two where that is asked for; put everything in its place."""
    place = _place(job.stem, options)
    verifications: list[tuple[str, Verification]] = []
    unverified = ""
    if not kept:
        unverified = _make(job, work / place.name, base, sizes, options, tell, verifications)
        # it is whole and good, whatever comes of its halves
        move_into_place(work / place.name, place)
    halves: tuple[Path, ...] = ()
    status: Status = "kept" if kept else "made"
    if options.chunk and job.chunked:
        halves = _halves(place, options)
        if not (kept and _are_of(halves, job.asked)):
            status = "chunked" if kept else "made"
            for half in _cut(job.role, place, work, options, tell, verifications):
                move_into_place(half, options.out / half.name)
    return Outcome(role=job.role, packages=(place, *halves), status=status, verifications=tuple(verifications), unverified=unverified)


def _make(
    job: Job, whole: Path, base: Source, sizes: Sizes, options: ConvertOptions, tell: _Teller, found: "list[tuple[str, Verification]]"
) -> str:
    """Convert and store a network; why it was not compared with its source, if it was not."""
    compressing = options.compression is not None and job.compressed
    model, room = _model(job, base, sizes, options, tell, compressing=compressing)
    model.save(str(whole))
    check_opens(whole)
    checking = options.check and room
    if checking:
        bar = APPLES_PSNR if options.min_psnr is None else options.min_psnr
        found.append(("converted", check_package(job, whole, partial(tell, job.stem, _STAGES[3]), minimum_psnr=bar)))
    if compressing:
        tell(job.stem, _STAGES[2])
        before = whole.rename(whole.with_name("before.mlpackage"))
        _compress(model, job, whole, options, tell)
        del model
        if checking:
            # what compression costs is told; it fails where somebody says how much it may cost
            bar = _NOISE if options.min_psnr is None else options.min_psnr
            found.append(("compressed", check_package(job, whole, partial(tell, job.stem, _STAGES[3]), minimum_psnr=bar, sibling=[before])))
    return "" if room or not options.check else "memory has no room for the network twice"


def _model(job: Job, base: Source, sizes: Sizes, options: ConvertOptions, tell: _Teller, *, compressing: bool) -> tuple[Any, bool]:
    """A network converted, with its metadata, and whether memory has room for a comparison."""
    from converter.metadata import describe_part
    from converter.tracing import to_coreml

    tell(job.stem, _STAGES[0])
    part: Part = job.build(True)
    room = room_to_check(part.module)
    tell(job.stem, _STAGES[1])
    model = to_coreml(part, options, whole_weights=compressing)
    describe_part(model, part, source=job.source, base=base, sizes=sizes, options=options, asked=job.asked)
    del part
    gc.collect()
    return model, room


def _compress(model: Any, job: Job, whole: Path, options: ConvertOptions, tell: _Teller) -> None:
    from converter.compression import compress

    tell(job.stem, _STAGES[2])
    assert options.compression is not None  # noqa: S101 the caller asks for it only then
    smaller = compress(
        model, options.compression, progress=lambda what, done, total: tell(job.stem, _STAGES[2], f"{what} ({done}/{total})")
    )
    smaller.save(str(whole))
    check_opens(whole)


def _are_of(packages: Sequence[Path], asked: Mapping[str, Any]) -> bool:
    """Whether packages are there, and made with these options."""
    return all(package.exists() and read_options(package) == asked for package in packages)


def _cut(
    role: Role, whole: Path, work: Path, options: ConvertOptions, tell: _Teller, found: "list[tuple[str, Verification]]"
) -> tuple[Path, ...]:
    """The halves of a package, in the workplace."""
    from converter.chunking import chunk

    tell(whole.stem, _STAGES[4])
    halves = chunk(whole, merge=options.merge_chunks, out=work)
    for half in halves:
        check_opens(half)
    if options.check:
        found.append(("cut in two", check_halves(whole, halves, role, partial(tell, whole.stem, _STAGES[4]))))
    return halves


def _chunk_existing(options: ConvertOptions, tell: _Teller) -> Sequence[Outcome]:
    """Cut the U-Nets that are there already; the source is not opened, and torch is not needed."""
    name = model_name(options.model)
    wholes = {role: place for role in DENOISERS if (place := _place(file_stem(role, name), options)).exists()}
    if not wholes:
        raise ConfigError(
            f"{options.out}: has no U-Net of {name} to cut in two ({file_stem('unet', name)}.mlpackage); pass --convert-unet to make one"
        )
    outcomes = []
    for role, place in wholes.items():
        made = read_options(place)
        halves = _halves(place, options)
        if made is not None and not options.overwrite and _are_of(halves, made):
            outcomes.append(Outcome(role=role, packages=(place, *halves), status="kept"))
            continue
        verifications: list[tuple[str, Verification]] = []
        with workplace(options.out) as work:
            for half in _cut(role, place, work, options, tell, verifications):
                move_into_place(half, options.out / half.name)
        outcomes.append(Outcome(role=role, packages=(place, *halves), status="chunked", verifications=tuple(verifications)))
    return outcomes
