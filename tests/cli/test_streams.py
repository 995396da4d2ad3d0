"""Whatever the console is, pictures are drawn, and nothing ends in a traceback."""

import errno
import io
import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from sdrt.cli import main
from sdrt.cli.console import Stream, say, standard_streams, tell
from tests.cli.programs import ROOT, run, start

QUICK = ["--steps", "1", "--seed", "7"]
PROMPTS = "a red circle\nein größerer Kreis\n円と四角\na blue square\n"

pytestmark = pytest.mark.skipif(os.name == "nt", reason="these streams are made as POSIX has them")


@pytest.fixture
def prompts(tmp_path: Path) -> list[str]:
    """Four prompts, some in other letters."""
    (tmp_path / "four.txt").write_text(PROMPTS, encoding="utf-8")
    return ["generate", "--prompts", "four.txt", *QUICK, "-o", "out"]


def drawn(folder: Path) -> int:
    return len([file for file in (folder / "out").iterdir() if file.suffix == ".png"])


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_a_console_of_another_encoding_shows_escapes(tmp_path: Path, prompts: list[str], encoding: str) -> None:
    status, out, err = run(*prompts, cwd=tmp_path, env={"PYTHONIOENCODING": encoding})
    assert (status, err, drawn(tmp_path)) == (0, "", 4)
    assert out.splitlines()[2] == "out/\\u5186\\u3068\\u56db\\u89d2.7.png"


def test_a_reader_that_goes_away_never_hears_of_success_and_loses_no_picture(tmp_path: Path, prompts: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    status, _, err = run(*prompts, cwd=tmp_path, stdout=writer)
    os.close(writer)
    assert (status, drawn(tmp_path)) == (141, 4)
    assert err == "sdrt: the reader of standard output went away; all pictures are drawn, but not all their names were read\n"


@pytest.mark.parametrize("argv", [["schedulers"], ["--help"]], ids=" ".join)
def test_a_list_whose_reader_goes_away_is_quiet(tmp_path: Path, argv: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    assert run(*argv, cwd=tmp_path, stdout=writer) == (141, "", "")
    os.close(writer)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no full device")
@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_full_disk_behind_a_stream_loses_no_picture(tmp_path: Path, prompts: list[str], stream: str) -> None:
    with Path("/dev/full").open("w") as full:
        status, out, err = run("-v", *prompts, cwd=tmp_path, **{stream: full})
    assert drawn(tmp_path) == 4
    if stream == "stdout":
        assert status == 1
        assert err.endswith("sdrt: standard output cannot be written (No space left on device); what was to be printed there is lost\n")
        assert "Traceback" not in err
    else:
        assert (status, len(out.splitlines())) == (0, 4)


@pytest.mark.parametrize("closed", ["2", "0 1 2"])
def test_streams_that_are_closed_lose_no_picture(tmp_path: Path, prompts: list[str], closed: str) -> None:
    """A file that took the place of a closed stream would receive what libraries print there."""
    redirects = " ".join(f"{number}>&-" for number in closed.split())
    command = f'exec "{sys.executable}" -m sdrt {" ".join(prompts)} {redirects}'
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        ["/bin/sh", "-c", command], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert (done.returncode, done.stderr, drawn(tmp_path)) == (0, "", 4)


def test_streams_that_are_none_lose_no_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As pythonw and windowed programs have them."""
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    assert main(["generate", "a", *QUICK, "-o", str(tmp_path / "out")]) == 0
    assert main(["generate", "a", *QUICK, "-o", "a.gif"]) == 2
    assert main(["models"]) == 0
    with pytest.raises(SystemExit) as ended:
        main(["generate", "--steps", "two"])
    assert ended.value.code == 2
    assert drawn(tmp_path) == 1
    assert sys.stdout is None


class Broken(io.StringIO):
    def write(self, text: str) -> int:
        raise OSError(errno.EIO, "Input/output error")


def test_a_stream_writes_what_it_can_and_raises_nothing() -> None:
    assert Stream(None).write("a\n") == 2
    assert not Stream(None).isatty()
    closed = io.StringIO()
    closed.close()
    for stream in (Stream(closed), Stream(Broken())):
        print("a", file=stream)
        stream.flush()
    assert stream.lost is not None
    assert stream.lost.errno == errno.EIO
    raw = io.BytesIO()
    narrow = Stream(io.TextIOWrapper(raw, encoding="ascii"))
    print("größer \udcff 円", file=narrow)
    assert raw.getvalue() == b"gr\\xf6\\xdfer \\udcff \\u5186\n"


def test_what_is_printed_is_one_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    with standard_streams():
        say("\x1b[31mred\ncircle", "two")
        tell("\x1b]0;title\x07")
    assert capsys.readouterr() == ("\\x1b[31mred\\ncircle\ntwo\n", "\\x1b]0;title\\x07\n")


def test_a_progress_bar_is_for_a_terminal_alone(tmp_path: Path) -> None:
    """In a terminal there is one, whose title obeys no escape of the prompt; into a file there is none."""
    import fcntl
    import pty
    import termios

    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
    with start("generate", "a \x1b[31mred circle", *QUICK, cwd=tmp_path, stderr=follower) as process:
        os.close(follower)
        seen = b""
        try:
            while chunk := os.read(leader, 4096):
                seen += chunk
        except OSError:
            pass  # the other side of a terminal is gone
        process.communicate(timeout=60)
    os.close(leader)
    assert process.returncode == 0
    assert b"1/1" in seen
    assert b"a \\x1b[31mred circle" in seen
    assert b"\x1b[31m" not in seen
    assert run("generate", "a", *QUICK, cwd=tmp_path)[2] == ""


def test_a_bare_command_says_what_it_can_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert len(out.splitlines()) == 18
    commands = ("generate", "batch", "grid", "inspect", "record", "replay", "compare", "models", "benchmark", "verify", "convert")
    assert all(f"sdrt {name}" in out for name in (*commands, "COMMAND --help"))


def test_no_file_takes_the_number_of_a_closed_stream(tmp_path: Path) -> None:
    """A library that prints to a number, and not to a Python stream, would print into a picture."""
    code = "import sys, os; from sdrt.cli import main; sys.argv = ['sdrt', 'models']; main(); sys.exit(open(os.devnull).fileno() < 3)"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = f'exec "{sys.executable}" -c "{code}" 0<&- 1>&- 2>&-'
    assert subprocess.run(["/bin/sh", "-c", command], cwd=tmp_path, env=environment, check=False, timeout=60).returncode == 0
