"""A Hub of the tests' own: answers the real client over HTTP as huggingface.co does, and can be disturbed.

Two servers, because the real one keeps large files at another host: the Hub itself, and a store (its CDN) that refuses requests
with a token. Source: ``file_download.py``, ``hf_api.py`` and ``utils/_http.py`` of huggingface_hub 2.4.0, which read these answers.
"""

import contextlib
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.hub_answers import Answer, Request, Store, answer_hub, answer_store
from tests.hub_repository import Files, HubRepository

__all__ = ["Disturbance", "HubServer", "point_client_at"]

_PIECE = 64 * 1024  # bytes written at once
_FLIPPED = bytes(255 - each for each in range(256))
# tests take it from the client
_sleep = time.sleep


@dataclass(frozen=True)
class Disturbance:
    """What happens to requests whose method and path match.

    Parameters
    ----------
    path : regular expression, searched for in the path
    method : "GET", "HEAD" or None for both
    times : int or None
        How many requests it meets, every one by default.
    status, headers, message : answered in place of the right answer
    cut_after : bytes of the body after which the connection breaks; -1 breaks it before any answer
    delay : seconds before the answer
    bytes_per_second : speed of the body
    stalls_after : bytes of the body after which nothing comes until the disturbance is over
    flips : the body has its right size and other bytes
    ignores_ranges : the whole file comes where a part was asked for, as from some proxies
    rewrites : makes another body of the right one
    """

    path: str
    method: str | None = None
    times: int | None = None
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    message: str = "disturbed"
    cut_after: int | None = None
    delay: float = 0.0
    bytes_per_second: int | None = None
    stalls_after: int | None = None
    flips: bool = False
    ignores_ranges: bool = False
    rewrites: Callable[[bytes], bytes] | None = None


class HubServer:
    """The Hub and its store, each at a port of its own.

    `url` is what HF_ENDPOINT is set to. `requests` has every request that came, those to the store included. `users` maps tokens to names.
    """

    def __init__(self) -> None:
        self.store = Store()
        self.requests: list[Request] = []
        self.disturbances: list[Disturbance] = []
        self._met: dict[int, int] = {}
        self._lock = threading.Lock()
        self._servers = [_serve(self, "hub"), _serve(self, "store")]
        self.url, self.store_url = (f"http://127.0.0.1:{server.server_address[1]}" for server in self._servers)
        self.store.url = self.store_url
        self.store.hub_url = self.url

    def add(self, repo_id: str, files: Files, **options: Any) -> HubRepository:
        """Add a repository with one commit; options are HubRepository's."""
        repository = HubRepository(repo_id, **options)
        repository.commit(files)
        self.store.repositories[f"{repository.kind}/{repo_id}"] = repository
        return repository

    def add_user(self, name: str, token: str) -> str:
        """Let requests with a token be those of a user, and return the token."""
        self.store.users[token] = name
        return token

    def rename(self, old: str, new: str) -> None:
        """Redirect from a repository's former name."""
        self.store.renames[old] = new

    def disturb(self, path: str, **what: Any) -> None:
        """Disturb requests from now on; parameters are Disturbance's."""
        self.disturbances.append(Disturbance(path, **what))

    def calm(self) -> None:
        """End all disturbances, the slowness of bodies that are on their way among them."""
        self.disturbances.clear()

    def contents(self) -> list[Request]:
        """The requests for contents of files that were answered with bytes."""
        return [each for each in self.requests if each.method == "GET" and each.content and each.status in (200, 206)]

    def environment(self, cache: Path) -> dict[str, str]:
        """What a process needs that asks this Hub: an empty cache, and no token that lies on this machine."""
        return {
            "HF_ENDPOINT": self.url,
            "HF_HUB_CACHE": str(cache),
            "HF_HUB_OFFLINE": "0",
            "HF_TOKEN_PATH": str(cache.parent / "no-token"),
            "HF_HUB_DISABLE_TELEMETRY": "1",
        }

    def close(self) -> None:
        for server in self._servers:
            server.shutdown()
            server.server_close()

    def __enter__(self) -> "HubServer":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def answer(self, role: str, request: Request) -> tuple[Answer, Disturbance | None]:
        """Answer a request, and say how the answer is to be disturbed."""
        disturbance = self._disturbance(request)
        if disturbance is not None and disturbance.status is not None:
            message = {"X-Error-Message": disturbance.message, "Content-Type": "application/json"}
            body = json.dumps({"error": disturbance.message}).encode()
            return Answer(disturbance.status, body, message | dict(disturbance.headers)), disturbance
        if disturbance is not None and disturbance.ignores_ranges:
            whole = {name: value for name, value in request.headers.items() if name != "range"}
            request = replace(request, headers=whole)
        answer = (answer_hub if role == "hub" else answer_store)(self.store, request)
        if disturbance is not None and disturbance.rewrites is not None:
            answer = replace(answer, body=disturbance.rewrites(answer.body))
        return answer, disturbance

    def log(self, request: Request) -> None:
        with self._lock:
            self.requests.append(request)

    def _disturbance(self, request: Request) -> Disturbance | None:
        with self._lock:
            for each in self.disturbances:
                met = self._met.get(id(each), 0)
                fits = each.method in (None, request.method) and re.search(each.path, request.path)
                if fits and (each.times is None or met < each.times):
                    self._met[id(each)] = met + 1
                    return each
        return None


def point_client_at(hub: HubServer, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the client ask a Hub in this process and in those that it starts, with this cache and nobody's token."""
    from huggingface_hub import constants

    environment = hub.environment(cache)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_HOME", "TRANSFORMERS_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    # what the client read from the environment when it was imported
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", environment["HF_HUB_CACHE"])
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", environment["HF_TOKEN_PATH"])


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that hang up, which tests of kills do."""


def _serve(hub: HubServer, role: str) -> _Server:
    class Handler(_Handler):
        pass

    Handler.hub, Handler.role = hub, role
    server = _Server(("127.0.0.1", 0), Handler)
    # shutdown() waits for the loop's next round
    threading.Thread(target=lambda: server.serve_forever(poll_interval=0.01), daemon=True).start()
    return server


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # head and body are two writes, and the second would wait 40 ms for an acknowledgement of the first
    disable_nagle_algorithm = True
    hub: HubServer
    role: str

    def do_GET(self) -> None:
        self._handle()

    def do_HEAD(self) -> None:
        self._handle()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Print nothing: the hub has its own log."""

    def _handle(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(self.role, self.command, self.path, headers)
        answer, disturbance = self.hub.answer(self.role, request)
        request.status, request.content = answer.status, answer.content
        # before the client has its answer, and may look
        self.hub.log(request)
        if disturbance is not None and disturbance.delay:
            _sleep(disturbance.delay)
        if disturbance is not None and disturbance.cut_after == -1:
            self._hang_up()
            return
        self._send_head(answer)
        if self.command == "GET":
            self._send_body(request, answer.body, disturbance)

    def _send_head(self, answer: Answer) -> None:
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if "Content-Length" not in answer.headers:
            self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()

    def _send_body(self, request: Request, body: bytes, disturbance: Disturbance | None) -> None:
        """Write what the client is to see, and count it; the last piece may not reach a client that hangs up."""
        if disturbance is not None and disturbance.flips:
            body = body.translate(_FLIPPED)
        cut = len(body) if disturbance is None or disturbance.cut_after is None else disturbance.cut_after
        pace = None if disturbance is None else disturbance.bytes_per_second
        stall = None if disturbance is None else disturbance.stalls_after
        piece = _PIECE if pace is None else max(1, pace // 50)
        with contextlib.suppress(OSError):
            for start in range(0, min(cut, len(body)), piece):
                request.sent = min(start + piece, cut, len(body))
                self.wfile.write(body[start : request.sent])
                if pace is not None and disturbance in self.hub.disturbances:
                    _sleep(piece / pace)
                while stall is not None and request.sent >= stall and disturbance in self.hub.disturbances:
                    _sleep(0.005)
        if cut < len(body):
            self._hang_up()

    def _hang_up(self) -> None:
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)
