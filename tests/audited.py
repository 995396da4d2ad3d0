"""Do a piece of work with every act that leaves the process written down: ``python -m tests.audited WORK FOLDER``.

Prints the acts as JSON, one list ``[event, what, ...]`` each: processes, connections, unpickled classes, unmarshalled code, and files that
are written, moved or removed. Reading files and importing modules are not among them.
"""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

_ACTS = (
    *("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.forkpty", "os.kill"),
    *("pickle.find_class", "marshal.load", "marshal.loads", "code.__new__"),
    *(
        "socket.connect",
        "socket.getaddrinfo",
        "socket.gethostbyname",
        "socket.sendto",
        "urllib.Request",
        "http.client.connect",
    ),
    *("os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate", "os.chmod", "shutil.rmtree", "shutil.move"),
)
# socket.bind is left out: urllib3 binds to this machine's own address when it is imported, to learn whether it has IPv6.
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


def watch(acts: list[list[str]]) -> None:
    """Write down what this process does from now on; an audit hook cannot be taken back."""

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, _, flags = arguments
            if isinstance(flags, int) and flags & _WRITING and path != os.devnull:
                acts.append([event, str(path)])
        elif event in _ACTS and not (event in ("marshal.loads", "code.__new__") and _imports()):
            acts.append([event, *map(str, arguments[:2])])

    sys.addaudithook(hook)


def _imports() -> bool:
    """Whether the interpreter reads a module's own code."""
    frame = sys._getframe(2)
    while frame is not None and frame.f_back is not None:
        if "importlib" in frame.f_code.co_filename:
            return True
        frame = frame.f_back
    return False


def load(folder: Path) -> None:
    import sdrt

    sources: list[str | Path] = ["nano", *sorted((folder / "models").iterdir())]
    for source in sources:
        with sdrt.load(source, threads=1) as pipe:
            pipe.load()


def generate(folder: Path) -> None:
    from sdrt.cli import main

    picture = folder / "out" / "x.png"
    assert main(["generate", "a red circle", "--seed", "93", "--steps", "2", "--threads", "1", "-q", "-o", str(picture)]) == 0
    assert main(["generate", "--from", str(picture), "--threads", "1", "-q", "-o", str(folder / "out" / "again.png")]) == 0


def inspect(folder: Path) -> None:
    from sdrt.cli import main

    for file in sorted((folder / "inspected").iterdir()):
        assert main(["inspect", str(file)]) in (0, 2)


def convert(folder: Path) -> None:
    from converter import ConvertOptions
    from converter import convert as convert_model

    convert_model(ConvertOptions(model="nano", out=folder / "out", parts=("text_encoder",)))


def misbehave(folder: Path) -> None:
    """Do each of the acts, for a test of the hook."""
    import pickle
    import socket
    import subprocess

    subprocess.run([sys.executable, "-c", ""], check=True)
    pickle.loads(pickle.dumps(Path))  # noqa: S301 what this is about
    with socket.socket() as connection:
        connection.connect_ex(("127.0.0.1", 9))
    (folder / "written").write_text("x")


WORKS: dict[str, Callable[[Path], None]] = {each.__name__: each for each in (load, generate, inspect, convert, misbehave)}

if __name__ == "__main__":
    written: list[list[str]] = []
    watch(written)
    WORKS[sys.argv[1]](Path(sys.argv[2]))
    sys.stdout.write("\n" + json.dumps(written) + "\n")
