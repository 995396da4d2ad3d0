"""Run any number of cases: ``python -m tests.fuzz --cases 50000 --seed 3``.

Prints how the cases of each generator ended, and one case of each kind of failure; the exit status is 1 if there is any.
"""

import argparse
import os
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path

from tests.fuzz.judging import COLUMNS
from tests.fuzz.materials import Materials
from tests.fuzz.running import Finished, generators, run_case
from tests.fuzz.workers import cases_of, run_all

EXAMPLES = 200


def main() -> int:
    arguments = _parser().parse_args()
    os.environ["HF_HUB_OFFLINE"] = "1"
    with tempfile.TemporaryDirectory(prefix="fuzz-materials-") as folder:
        root = (arguments.materials or Path(folder)).absolute()
        materials = Materials(root) if (root / "nano").is_dir() else Materials(root).make()
        if arguments.replay:
            return _replay(arguments.replay, materials)
        names = [name for name in generators() if not arguments.only or any(name.startswith(only) for only in arguments.only)]
        until = time.monotonic() + arguments.minutes * 60 if arguments.minutes else None
        return _report(run_all(cases_of(names, arguments.seed, arguments.cases), root, arguments.processes, until), arguments.cases)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--cases", type=int, default=1_000, metavar="N", help="cases of all generators together")
    parser.add_argument("--seed", type=int, default=1, metavar="N")
    parser.add_argument("--only", action="append", metavar="NAME", help="generators whose name begins so; may be repeated")
    parser.add_argument("--replay", metavar="CASE", help="run one case again, with its traceback: NAME/SEED/INDEX")
    parser.add_argument("--processes", type=int, default=2, metavar="N")
    parser.add_argument("--minutes", type=float, metavar="N", help="begin no case after so many minutes")
    parser.add_argument("--materials", type=Path, metavar="FOLDER", help="where sound files are kept for the next run")
    return parser


def _replay(case: str, materials: Materials) -> int:
    finished = run_case(case, materials, loud=True)
    print(finished.report())
    return 0 if finished.is_right else 1


def _report(results: Iterable[Finished], cases: int) -> int:
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    wrong: dict[tuple[str, str, str], list[Finished]] = defaultdict(list)
    begun, done = time.monotonic(), 0
    for finished in results:
        done += 1
        counts[finished.name][finished.outcome.column] += 1
        if not finished.is_right:
            wrong[finished.name, finished.outcome.column, finished.outcome.kind].append(finished)
        if done % 500 == 0:
            print(
                f"{done} of {cases} in {time.monotonic() - begun:.0f} s, {sum(map(len, wrong.values()))} wrong", file=sys.stderr, flush=True
            )
    for (name, _, _), found in sorted(wrong.items(), key=lambda pair: (pair[0][0], -len(pair[1])))[:EXAMPLES]:
        print(f"{name}: {len(found)} x {found[0].report()}")
    width = max(map(len, counts), default=0)
    total: Counter[str] = sum(counts.values(), Counter())
    print(" " * width, *(f"{column:>18}" for column in COLUMNS))
    for name, row in (*sorted(counts.items()), ("all", total)):
        print(f"{name:{width}}", *(f"{row[column]:>18}" for column in COLUMNS))
    print(f"{done} cases, {sum(map(len, wrong.values()))} wrong of {len(wrong)} kinds, in {time.monotonic() - begun:.0f} s")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
