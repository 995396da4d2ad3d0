"""A Hub that answers anything: one clear line, nothing fetched, nothing written, and no word of who asked."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import sdrt
from sdrt.errors import ConfigError, MissingFileError, ModelError, SdrtError, WeightsError
from sdrt.models.hub import DEFAULT_ACCESS, Address, list_files
from tests.hub_repository import nano_files
from tests.hub_server import HubServer

CONFIG, WEIGHTS = "unet/config.json", "unet/diffusion_pytorch_model.safetensors"
SECRET = "hf_secretsecret"  # noqa: S105 -- it opens nothing


def load_it(_: Path) -> object:
    return sdrt.load("someone/thing")


def download_it(folder: Path) -> object:
    return sdrt.download("someone/thing", folder)


def listed(path: str, **values: Any) -> Callable[[bytes], bytes]:
    """Change what the Hub says of one file."""

    def rewritten(body: bytes) -> bytes:
        answer = json.loads(body)
        next(each for each in answer["siblings"] if each["rfilename"] == path).update(values)
        return json.dumps(answer).encode()

    return rewritten


def said(**values: Any) -> Callable[[bytes], bytes]:
    """Change what the Hub says of the repository."""
    return lambda body: json.dumps(json.loads(body) | values).encode()


def instead(body: bytes) -> Callable[[bytes], bytes]:
    return lambda _: body


UNREADABLE = {
    "a list": instead(b"[]"),
    "null": instead(b"null"),
    "a page": instead(b"<html>"),
    "nothing": instead(b""),
    "no text": instead(b"\xff\xfe"),
    "depths": instead(b"[" * 100_000),
    "a text for files": said(siblings="abc"),
    "numbers for files": said(siblings=[1, 2]),
    "no date": said(createdAt="never"),
    "a text for a pointer": listed(WEIGHTS, lfs="x"),
}
LIES = {
    "no commit": said(sha=None),
    "a number as commit": said(sha=5),
    "a path as commit": said(sha="../../../evil"),
    "a number as name": listed(CONFIG, rfilename=5),
    "no name": listed(CONFIG, rfilename=None),
    "no size": listed(CONFIG, size=None),
    "a text as size": listed(CONFIG, size="abc"),
    "a size below nothing": listed(CONFIG, size=-5),
    "a size beyond all disks": listed(CONFIG, size=10**30),
    "a broken size": listed(CONFIG, size=1.5),
    "a number as hash": listed(CONFIG, blobId=7),
    "a path as hash": listed(CONFIG, blobId="../../evil"),
    "a long hash": listed(CONFIG, blobId="a" * 400),
    "a path as hash of a large file": listed(WEIGHTS, lfs={"size": 6, "sha256": "../../evil", "pointerSize": 100}),
    "a size below nothing of a large file": listed(WEIGHTS, lfs={"size": -6, "sha256": "a" * 64, "pointerSize": 100}),
}


@pytest.mark.parametrize("name", [*UNREADABLE, *LIES])
def test_an_answer_of_another_kind_is_one_line(hub: HubServer, tmp_path: Path, name: str) -> None:
    hub.add("someone/thing", {CONFIG: b"{}", WEIGHTS: b"weights"})
    hub.disturb("/api/models", rewrites={**UNREADABLE, **LIES}[name])
    message = r"^(someone/thing: )?the Hub lists .*, which is not a (size|hash|commit|path in a repository); do not use this repository$"
    if name in UNREADABLE:
        message = (
            r"the Hub at http://127.0.0.1:\d+ cannot be asked, or its answer cannot be read \(.+\); check HF_ENDPOINT and the proxies .*$"
        )
    for call in (load_it, download_it):
        with pytest.raises(ModelError, match=message) as raised:
            call(tmp_path / "new")
        assert "\n" not in str(raised.value)
    assert hub.contents() == []
    assert not (tmp_path / "new").exists()
    assert not list((tmp_path / "hub-cache").glob("**/*"))


def test_what_cannot_be_read_leaves_the_cache(hub: HubServer) -> None:
    hub.add("someone/thing", nano_files())
    sdrt.load("someone/thing").close()
    hub.disturb("/api/models", rewrites=instead(b"<html>"))
    sdrt.load("someone/thing").close()


@pytest.mark.parametrize(("variable", "value"), [("http_proxy", "garbage://x"), ("all_proxy", "socks5://127.0.0.1:1")])
def test_proxies_that_cannot_be(hub: HubServer, monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> None:
    from huggingface_hub import close_session

    hub.add("someone/thing", nano_files())
    monkeypatch.setenv(variable, value)
    # the client reads proxies when it makes its first connection
    close_session()
    with pytest.raises(MissingFileError, match=r"cannot be asked.*; check HF_ENDPOINT and the proxies in the environment, and try again$"):
        sdrt.load("someone/thing")
    close_session()


@pytest.mark.parametrize(
    ("variable", "value"), [("HF_HUB_ETAG_TIMEOUT", "soon"), ("HF_ENDPOINT", "http://[::1"), ("HF_HUB_CACHE", "~no-such-user/x")]
)
def test_variables_that_the_client_cannot_read(hub: HubServer, tmp_path: Path, variable: str, value: str) -> None:
    # it reads them when it is imported
    environment = {**os.environ, **hub.environment(tmp_path), variable: value}
    run = subprocess.run(
        [sys.executable, "-m", "sdrt", "download", "someone/thing"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (run.returncode, run.stdout) == (2, "")
    assert re.fullmatch(
        r"sdrt: (the Hub's client cannot read its variables .*; correct them|HF_HUB_CACHE.* write the path in full)\n", run.stderr
    )


def test_a_password_in_the_hubs_address_is_not_shown(hub: HubServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_ENDPOINT", f"http://ann:{SECRET}@127.0.0.1:1")
    for call in (load_it, download_it):
        with pytest.raises(MissingFileError, match=r"the Hub at http://127.0.0.1:1 does not answer") as raised:
            call(tmp_path)
        assert SECRET not in str(raised.value)


@pytest.mark.parametrize("revision", ["..", ".", "../../x", "a/../b", "a//b", "/a", "a/", "", "a\\b", "a\nb", "a" * 300, 5])
def test_a_revision_that_leads_elsewhere_is_none(hub: HubServer, tmp_path: Path, revision: Any) -> None:
    # the HTTP library takes /revision/.. for the repository itself
    hub.add("someone/thing", nano_files())
    for call in (
        lambda: sdrt.load("someone/thing", revision=revision),
        lambda: sdrt.download("someone/thing", tmp_path, revision=revision),
    ):
        with pytest.raises(ConfigError, match=r"^revision must be "):
            call()
    for call in (lambda: sdrt.load(f"someone/thing@{revision}"), lambda: sdrt.download(f"someone/thing@{revision}", tmp_path)):
        with pytest.raises(SdrtError):
            call()
    assert not [request for request in hub.requests if request.status == 200]


@pytest.mark.parametrize("ref", [b"../../../evil", b"", b"\xff\xfe", b"a" * 40_000])
def test_a_damaged_ref_is_as_good_as_none(hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ref: bytes) -> None:
    hub.add("someone/thing", nano_files())
    sdrt.load("someone/thing").close()
    refs = tmp_path / "hub-cache" / "models--someone--thing" / "refs" / "main"
    refs.write_bytes(ref)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(MissingFileError, match="nor in the Hub's cache, and HF_HUB_OFFLINE is set"):
        list_files(Address("someone/thing"), DEFAULT_ACCESS)
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    sdrt.load("someone/thing").close()
    assert len(refs.read_text()) == 40


class _Endless(bytes):
    """A body that goes on for as long as somebody reads; the server counts it as very long."""

    def __len__(self) -> int:
        return 1 << 40

    def __getitem__(self, piece: Any) -> Any:
        return bytes(piece.stop - piece.start)


@pytest.mark.parametrize("call", [download_it, load_it])
def test_a_file_without_end_is_left(hub: HubServer, tmp_path: Path, call: Callable[[Path], object]) -> None:
    hub.add("someone/thing", nano_files())
    hub.disturb("^/repos/", rewrites=lambda _: _Endless())
    with pytest.raises(WeightsError, match=r"what arrived has \d+\.\d MB, and the Hub lists .*; it was removed, try again$"):
        call(tmp_path / "new")
    assert all(request.sent < 100_000_000 for request in hub.requests)


def test_a_header_that_is_no_number(hub: HubServer, tmp_path: Path) -> None:
    hub.add("someone/thing", nano_files())
    hub.disturb("^/repos/", status=200, headers={"Content-Range": "bytes banana"})
    for call in (load_it, download_it):
        with pytest.raises(MissingFileError, match=r"did not arrive whole \(.*\); try again, what has arrived is kept$"):
            call(tmp_path)
