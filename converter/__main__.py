"""Run ``python -m converter``."""

import argparse
import sys

from sdrt.cli import run_program


def _parser() -> argparse.ArgumentParser:
    # imported where a signal is already handled
    from converter.cli import parser

    return parser()


sys.exit(run_program("converter", _parser))
