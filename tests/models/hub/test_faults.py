"""What goes wrong between here and the Hub: one clear line each from ``sdrt.download`` and ``sdrt.load``, and nothing half there."""

import logging
import re
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants

import sdrt
from sdrt.errors import MissingFileError, ModelError, SdrtError, WeightsError
from tests.documents.blocks import read
from tests.hub_repository import StoredFile, lfs_pointer, nano_files
from tests.hub_server import HubServer

UNET = "unet/diffusion_pytorch_model.safetensors"
TOKENS = {"ann": "hf_annannann", "bob": "hf_bobbobbob"}
FAR_TOO_LARGE = 10**18


@dataclass(frozen=True)
class Fault:
    """What is wrong, and what is said of it, behind the repository's name."""

    arrange: Callable[[HubServer], object]
    message: str
    error: type[SdrtError] = MissingFileError
    user: str | None = None
    files: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)


def disturbed(path: str, **what: Any) -> Callable[[HubServer], object]:
    return lambda hub: hub.disturb(path, **what)


def as_is(hub: HubServer) -> None:
    pass


REFUSED = r"the repository is gated, and {}; accept its conditions at http://127.0.0.1:\d+/someone/thing, and set HF_TOKEN to a token of "
LIMITED = r"the Hub limits how often it is asked \(429\); try again in 30 seconds, or set HF_TOKEN for a higher limit"
BROKE = r"the connection broke \(peer closed connection .*\); try again, what has arrived is kept"
NOT_WHOLE = r"\S+: what arrived is not what the Hub lists, by its hash; it was removed, try again"
NOT_FOR_BOB = "the Hub has no such repository that this token may read; check the name, and the token"
NOBODY = "the Hub has no public repository of this name; check it, or set HF_TOKEN for a private one"

FAULTS = {
    "not there": Fault(lambda hub: hub.store.repositories.clear(), NOBODY),
    "private, no token": Fault(as_is, NOBODY, options={"private": True}),
    "private, another's token": Fault(
        as_is,
        "the Hub has no such repository that this token may read; check the name, and the token",
        user="bob",
        options={"private": True},
    ),
    "private, a wrong token": Fault(
        as_is, r"the Hub refuses the token \(401\); set HF_TOKEN to a valid token, or unset it", user="nobody", options={"private": True}
    ),
    "gated, no token": Fault(as_is, REFUSED.format("no token was sent"), options={"gated": True}),
    "gated, another's token": Fault(
        as_is, REFUSED.format("the account of this token is not admitted"), user="bob", options={"gated": True}
    ),
    "a dataset": Fault(
        as_is, "must be a repository of a model, got one of a dataset; check the name", ModelError, options={"kind": "datasets"}
    ),
    "asked too often": Fault(disturbed("/api/models", status=429, headers={"Retry-After": "30"}), LIMITED),
    "asked too often for a file": Fault(disturbed("/resolve/", status=429, headers={"Retry-After": "30"}), LIMITED),
    "broken": Fault(disturbed("/api/models", status=500), r"the Hub fails to answer \(500 Internal Server Error\); try again later"),
    "down": Fault(disturbed("/resolve/", status=503), r"the Hub fails to answer \(503 Service Unavailable\); try again later"),
    "store down": Fault(disturbed("^/repos/", status=503), r"the Hub fails to answer \(503 Service Unavailable\); try again later"),
    "store down in a way of its own": Fault(
        disturbed("^/repos/", status=520), r"the Hub fails to answer \(Server error '520 ' for url 'http://\S+'\); try again later"
    ),
    "cut off": Fault(disturbed("^/repos/", cut_after=1000), BROKE),
    "cut off in a small file": Fault(disturbed("/resolve-cache/", cut_after=20), BROKE),
    "cut off in the list": Fault(
        disturbed("/api/models", cut_after=20), r"the Hub at http://127.0.0.1:\d+ does not answer \(peer closed .*\); check"
    ),
    "no answer": Fault(
        disturbed("/resolve/", cut_after=-1), r"the connection broke \(Server disconnected.*\); try again, what has arrived is kept"
    ),
    "wrong bytes": Fault(
        disturbed("^/repos/", flips=True),
        r"\S+: what arrived is not what the Hub lists, by its hash; it was removed, try again",
        WeightsError,
    ),
    "wrong bytes in a small file": Fault(disturbed("/resolve-cache/", flips=True), NOT_WHOLE, WeightsError),
    "a pointer": Fault(
        as_is,
        f"{UNET}: the repository holds a Git-LFS pointer, and not the file itself; tell its owner, or choose another revision",
        WeightsError,
        files={UNET: StoredFile(lfs_pointer(b"weights"), lfs=False)},
    ),
    "a pointer in place of the file": Fault(
        as_is,
        f"{UNET}: what arrived is the Git-LFS pointer, and not the file itself; it was removed, try again",
        WeightsError,
        files={UNET: StoredFile(lfs_pointer(b"weights"), lfs=True, claimed_size=3_000_000)},
    ),
    "too short": Fault(
        as_is,
        rf"did not arrive whole \({UNET} ended after 2.0 kB of 3.0 MB\); try again, what has arrived is kept",
        files={UNET: StoredFile(bytes(2000), lfs=True, claimed_size=3_000_000)},
    ),
    "too long": Fault(
        as_is,
        f"{UNET}: what arrived has 4.0 MB, and the Hub lists 3.0 MB; it was removed, try again",
        WeightsError,
        files={UNET: StoredFile(bytes(4_000_000), lfs=True, claimed_size=3_000_000)},
    ),
    "too large": Fault(
        as_is,
        r"does not fit on the disk of \S+ \(it needs 1000000.0 TB, and \S+ \wB are free\); free some of it, or name another .*",
        ModelError,
        files={UNET: StoredFile(b"", lfs=True, claimed_size=FAR_TOO_LARGE)},
    ),
}


def download_it(output: Path) -> Path:
    return sdrt.download("someone/thing", output)


def load_it(output: Path) -> object:
    return sdrt.load("someone/thing")


def iter_chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error, and those that it came from."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def documented(message: str) -> bool:
    """Whether the table of messages in docs/hub.md has a line for one."""
    table = read("docs/hub.md").partition("## What the messages mean")[2]
    phrases = [phrase for row in re.findall(r"^\| ([^|]+) \|", table, re.MULTILINE)[1:] for phrase in row.split("; ")]
    assert len(phrases) > 20
    return any(re.search(re.escape(phrase).replace("…", ".*"), message) for phrase in phrases)


@pytest.fixture(autouse=True)
def no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)


@pytest.mark.parametrize("call", [download_it, load_it])
@pytest.mark.parametrize("name", list(FAULTS))
def test_each_fault_is_one_line_and_leaves_nothing_half_there(
    hub: HubServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    name: str,
    call: Callable[[Path], object],
) -> None:
    caplog.set_level(logging.DEBUG)
    fault = FAULTS[name]
    for user, token in TOKENS.items():
        hub.add_user(user, token)
    token = TOKENS.get(fault.user or "", "hf_unknown")
    if fault.user is not None:
        monkeypatch.setenv("HF_TOKEN", token)
    repository = hub.add("someone/thing", nano_files() | fault.files, readers=frozenset({"ann"}), **fault.options)
    fault.arrange(hub)
    output = tmp_path / "new" / "folder"
    with pytest.raises(fault.error, match=rf"^someone/thing(@main)?: (no such folder, and )?{fault.message}") as caught:
        call(output)
    assert "\n" not in str(caught.value)
    assert documented(str(caught.value))
    # nothing under the final name, and nothing at all if nothing arrived
    assert not (output / "thing").exists()
    assert output.exists() == any(path.is_file() and path.stat().st_size for path in (tmp_path / "new").rglob("*"))
    cached = tmp_path / "hub-cache" / "models--someone--thing" / "snapshots"
    assert all(path.stat().st_size == repository.commits[repository.tip][UNET].size for path in cached.rglob(UNET))
    # no token anywhere, and no signature where a user looks
    chain = [str(error) for error in iter_chain(caught.value)]
    assert token not in "".join([*chain, caplog.text, *capfd.readouterr()])
    ours = [record.getMessage() for record in caplog.records if record.name == "sdrt"]
    assert "X-Amz-Signature" not in "".join([str(caught.value), *ours])


@pytest.mark.parametrize("call", [download_it, load_it])
def test_a_reader_of_a_private_repository_has_it(
    hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Callable[[Path], object]
) -> None:
    hub.add("someone/thing", nano_files(), private=True, readers=frozenset({"ann"}))
    monkeypatch.setenv("HF_TOKEN", hub.add_user("ann", TOKENS["ann"]))
    assert call(tmp_path) is not None
    assert all("authorization" not in each.headers for each in hub.requests if each.host == "store")


@pytest.mark.parametrize("call", [download_it, load_it])
def test_a_connection_that_breaks_is_taken_up_by_itself(
    hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, call: Callable[[Path], object]
) -> None:
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 100_000)
    hub.add("someone/thing", nano_files())
    hub.disturb("^/repos/", cut_after=500_000, times=3)
    assert call(tmp_path) is not None
    starts = [each.range_start for each in hub.contents() if each.host == "store"]
    assert starts.count(500_000) + starts.count(1_000_000) >= 2
    assert caplog.text == ""


@pytest.mark.parametrize("call", [download_it, load_it])
def test_a_busy_hub_is_waited_for_and_said_so(
    hub: HubServer, tmp_path: Path, caplog: pytest.LogCaptureFixture, call: Callable[[Path], object]
) -> None:
    hub.add("someone/thing", nano_files())
    hub.disturb("^/repos/", status=429, headers={"Retry-After": "60"}, times=1)
    assert call(tmp_path) is not None
    assert [record.getMessage() for record in caplog.records] == ["the Hub's client: Rate limited. Waiting 61.0s before retry [Retry 1/5]."]


@pytest.mark.parametrize("call", [download_it, load_it])
def test_offline(hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Callable[[Path], object]) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(
        MissingFileError, match=r"^someone/thing: (no such .* cache, and )?HF_HUB_OFFLINE is set; unset it, or fetch"
    ) as caught:
        call(tmp_path)
    assert documented(str(caught.value))
    assert hub.requests == []


@pytest.mark.parametrize("call", [download_it, load_it])
def test_nobody_listens(hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Callable[[Path], object]) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
    monkeypatch.setenv("HF_ENDPOINT", address)
    with pytest.raises(
        MissingFileError, match=rf"the Hub at {address} does not answer \(.*\); check the name and the network, and try again$"
    ):
        call(tmp_path)


@pytest.mark.parametrize("evil", ["../x", "/etc/x", "unet/../../x", "C:/x", "C:x", "unet\\..\\x", "\\\\host\\share\\x", "a\0b"])
@pytest.mark.parametrize("call", [download_it, load_it])
def test_names_that_leave_the_folder_are_refused(hub: HubServer, tmp_path: Path, evil: str, call: Callable[[Path], object]) -> None:
    hub.add("someone/thing", nano_files() | {evil: b"outside"})
    with pytest.raises(ModelError, match=r"^the Hub lists .*, which is not a path in a repository; do not use this repository$"):
        call(tmp_path / "new")
    assert hub.contents() == []
    assert not (tmp_path / "new").exists()


NAMES = {"a--b/c": "no repository can have this name", "a/b.git": "no repository can have this name", f"a/{'b' * 100}": "no repository"}


@pytest.mark.parametrize("name", list(NAMES))
def test_names_that_the_hub_forbids(hub: HubServer, tmp_path: Path, name: str) -> None:
    for call in (lambda: sdrt.download(name, tmp_path), lambda: sdrt.load(name)):
        with pytest.raises(ModelError, match=NAMES[name]):
            call()
    assert hub.requests == []


@pytest.mark.parametrize("call", [download_it, load_it])
def test_a_token_that_cannot_be_sent(
    hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Callable[[Path], object]
) -> None:
    hub.add("someone/thing", nano_files())
    monkeypatch.setenv("HF_TOKEN", "hf_sécret")
    with pytest.raises(
        ModelError, match=r"^someone/thing: the token \(HF_TOKEN, or the Hub client's login\) must be plain letters and digits"
    ):
        call(tmp_path)


def test_ten_thousand_files_are_a_repository_like_others(hub: HubServer, tmp_path: Path) -> None:
    many = {f"folder{at % 100}/{at}.json": b"{}" for at in range(10_000)}
    hub.add("someone/thing", many | {"few/a.json": b"a", "few/b.json": b"b"})
    assert len(list(sdrt.download("someone/thing", tmp_path, variant="few").iterdir())) == 2
    assert len(hub.contents()) == 2


@pytest.mark.slow
def test_ten_thousand_files_are_fetched(hub: HubServer, tmp_path: Path) -> None:
    hub.add("someone/thing", {f"folder{at % 100}/{at}.json": b"%d" % at for at in range(10_000)})
    folder = sdrt.download("someone/thing", tmp_path, everything=True)
    assert {int(file.read_bytes()) for file in folder.rglob("*.json")} == set(range(10_000))
