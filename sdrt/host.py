"""Ask the system what this process runs on (cores, memory, processor), and for locks and links.

No call behind these functions exists on every system (Windows has neither ``os.sysconf`` nor ``os.sched_getaffinity``, only Linux has
``/proc``), so each is made here alone, with what to assume where it is missing.
"""

import os
import platform
import sys
from pathlib import Path

__all__ = ["available_memory", "link_file", "lock_file", "processor_flags", "processor_name", "total_memory", "usable_cores"]

# Assumed where the system does not say (Windows): what a machine that runs these models has at least.
_ASSUMED_MEMORY = 2**34

_CPUINFO, _MEMINFO = Path("/proc/cpuinfo"), Path("/proc/meminfo")


def usable_cores() -> int:
    """Count the cores that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def total_memory() -> int:
    """Return this machine's memory (bytes); 16 GiB where the system does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return _ASSUMED_MEMORY


def available_memory() -> int:
    """Return how much memory a process can still take without swapping (bytes); half of the machine's where only Linux would know."""
    try:
        with _MEMINFO.open(encoding="ascii") as lines:
            return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        return total_memory() // 2


def processor_name() -> str:
    """Return the processor's name, as near to the label on its box as the system says."""
    names = [value for key, value in _cpuinfo() if key == "model name"]
    if names:
        return names[0]
    if platform.system() == "Darwin":
        import subprocess

        command = ["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 -- a fixed command
        if done.returncode == 0 and done.stdout.strip():
            return done.stdout.strip()
    return platform.processor() or platform.machine()


def processor_flags() -> frozenset[str]:
    """Return the processor's features by Linux's names (``avx2``, ``amx_bf16``); none on another system."""
    return frozenset(flag for key, value in _cpuinfo() if key == "flags" for flag in value.split())


def _cpuinfo() -> list[tuple[str, str]]:
    """Read Linux's description of the first core."""
    if not _CPUINFO.is_file():
        return []
    pairs = (line.partition(":") for line in _CPUINFO.read_text(encoding="utf-8").split("\n\n", 1)[0].splitlines())
    return [(key.strip(), value.strip()) for key, _, value in pairs]


def lock_file(handle: int) -> None:
    """Lock an open file for this process, until it is closed.

    Raises
    ------
    BlockingIOError : another process, or another handle of this one, has locked it
    OSError : its disk has no locks
    """
    if sys.platform == "win32":
        import msvcrt

        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        except OSError as error:
            raise BlockingIOError(*error.args) from None
    else:
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


def link_file(link: Path, target: Path) -> bool:
    """Make a relative link to a file; return False where the system allows none (Windows, without the right to make them).

    Parameters
    ----------
    link : Path
        Where the link is made; nothing may be there yet.
    target : Path
    """
    try:
        link.symlink_to(os.path.relpath(target, link.parent))
    except (AttributeError, NotImplementedError, OSError):
        return False
    return True
