"""Compare this checkout with another, byte for byte, in one run on one machine.

    python -m benchmarks.unchanged PATH/OF/THE/OTHER/CHECKOUT [--only samplers pictures] [--out unchanged.json]

Both checkouts draw from fixed seeds with every sampler name, noise stream, option and job, on the embedded model and on random ones, with
one thread and with two; token ids, noise, and the weights and programs of converted packages are compared too. Any changed byte is a
breaking change. Stored digests would not do: the last bits of float32 results differ between processors.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.unchanged.models import save_models

HERE = Path(__file__).resolve().parents[2]
SCRIPT = Path(__file__).with_name("cases.py")

# Every group, with the thread counts of the numpy backend to run it with.
GROUPS: dict[str, tuple[int, ...]] = {"tokens": (1,), "noise": (1,), "samplers": (1,), "pictures": (1, 2), "jobs": (1, 2), "packages": (1,)}


def digests(checkout: Path, models: Path, work: Path, group: str, threads: int) -> dict[str, str]:
    """Run one group of cases in a checkout, and return the digest or the refusal of each."""
    work.mkdir(parents=True, exist_ok=True)
    out = work / f"{group}-{threads}.json"
    environment = {**os.environ, "PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-P", str(SCRIPT), str(models), str(out), group, str(threads)]
    subprocess.run(command, check=True, cwd=work, env=environment)
    found = json.loads(out.read_text())
    if Path(found["checkout"]) != checkout:
        raise SystemExit(f"{checkout}: its package must be the imported one, got {found['checkout']}'s; pass a checkout's root")
    cases: dict[str, str] = found["cases"]
    return cases


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.unchanged", description="Compare two checkouts byte for byte.")
    parser.add_argument("other", type=Path, help="the checkout before the change")
    parser.add_argument("--only", nargs="+", choices=GROUPS, default=list(GROUPS), metavar="GROUP", help=f"of {', '.join(GROUPS)}")
    parser.add_argument("--out", type=Path, help="write the counts and every case that differs here, as JSON")
    arguments = parser.parse_args()
    report: dict[str, dict[str, object]] = {}
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        save_models(work / "models")
        for group in arguments.only:
            for threads in GROUPS[group]:
                before = digests(arguments.other.resolve(), work / "models", work / "before", group, threads)
                after = digests(HERE, work / "models", work / "after", group, threads)
                refused = [name for name in before if before[name].startswith("refused") and after.get(name) == before[name]]
                differ = {name: [before.get(name), after.get(name)] for name in before | after if before.get(name) != after.get(name)}
                equal = len(before) - len(refused) - len(differ.keys() & before.keys())
                row = {"equal": equal, "refused by both": len(refused), "differ": differ}
                report[f"{group}, {threads} threads"] = row
                print(f"{group} ({threads} threads): {equal} equal, {len(refused)} refused by both, {len(differ)} differ", flush=True)
                for name, (old, new) in list(differ.items())[:20]:
                    print(f"  {name}: {str(old)[:24]} -> {str(new)[:24]}", flush=True)
    if arguments.out is not None:
        arguments.out.write_text(json.dumps(report, indent=1) + "\n")
    return 1 if any(row["differ"] for row in report.values()) else 0


if __name__ == "__main__":
    raise SystemExit(main())
