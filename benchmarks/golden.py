"""Write the table of golden digests anew, after a change that is meant to change exact results.

    python -m benchmarks.golden [--check]

The table is sdrt/verification/golden.json. With ``--check`` nothing is written, and the exit status says whether it is up to date.
"""

import argparse
import sys

from sdrt import __version__
from sdrt.verification.table import FILE, table_text
from sdrt.verification.verifying import all_checks, compute


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.golden", description="Write the table of golden digests.")
    parser.add_argument("--check", action="store_true", help="write nothing; status 1 if the table is out of date")
    arguments = parser.parse_args()
    checks = {check.key: compute(check) for check in all_checks()}
    text = table_text(__version__, checks)
    if arguments.check:
        return int(not FILE.is_file() or FILE.read_text(encoding="utf-8") != text)
    FILE.write_text(text, encoding="utf-8")
    print(f"{FILE}: {len(checks)} checks, {sum(map(len, checks.values()))} stages, {len(text)} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
