"""What the Hub answers to each request: pure functions of the request and what the Hub holds."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qs, quote, unquote, urlsplit

from tests.hub_repository import HubRepository, StoredFile

__all__ = ["Answer", "Request", "Store", "answer_hub", "answer_store"]


@dataclass
class Request:
    """One request as it came, and what became of it: the status, the file of whose bytes it was answered with some, and how many."""

    host: str
    method: str
    path: str
    headers: Mapping[str, str]
    status: int = 0
    sent: int = 0
    content: str = ""

    @property
    def range_start(self) -> int:
        """The first byte that was asked for."""
        found = re.match(r"bytes=(\d+)-", self.headers.get("range", ""))
        return int(found[1]) if found else 0


@dataclass(frozen=True)
class Answer:
    """A status, a body and headers; `content` is the path of the file whose bytes the body has."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    content: str = ""


@dataclass
class Store:
    """What the Hub holds: repositories by kind and name, users by token, former names, and where large files lie."""

    url: str = ""
    hub_url: str = ""
    page_size: int = 1000
    repositories: dict[str, HubRepository] = field(default_factory=dict)
    users: dict[str, str] = field(default_factory=dict)
    renames: dict[str, str] = field(default_factory=dict)


_API = re.compile(r"/api/(models|datasets|spaces)/([^/]+/[^/]+)(?:/(revision|tree|refs)(?:/([^/]+)(?:/(.+))?)?)?")
_RESOLVE = re.compile(r"/(?:(datasets|spaces)/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)")
_SMALL = re.compile(r"/api/resolve-cache/(models|datasets|spaces)/([^/]+/[^/]+)/([0-9a-f]{40})/(.+)")
_WRONG_TOKEN = "Invalid credentials in Authorization header"  # noqa: S105 - the Hub's message


def answer_hub(store: Store, request: Request) -> Answer:
    """Answer as huggingface.co."""
    path = urlsplit(request.path).path
    token = request.headers.get("authorization", "").removeprefix("Bearer ")
    if token and token not in store.users:
        return _error(401, None, _WRONG_TOKEN)
    for pattern, answer in ((_SMALL, _small_file), (_API, _api), (_RESOLVE, _resolve)):
        if found := pattern.fullmatch(path):
            kind, repo_id, *rest = found.groups()
            if repo_id in store.renames:
                return Answer(307, headers={"Location": request.path.replace(repo_id, store.renames[repo_id], 1)})
            repository = store.repositories.get(f"{kind or 'models'}/{repo_id}")
            user = store.users.get(token)
            if repository is None or (repository.private and not repository.admits(user)):
                # a name that is not there, and a private one, look the same; without a token both look like a matter of passwords
                return _error(404, "RepoNotFound", "Repository not found") if user else _error(401, "RepoNotFound", _ANONYMOUS)
            return answer(store, repository, request, user, [unquote(each) if each else "" for each in rest])
    return _error(404, None, "Sorry, we can't find the page you are looking for.")


_ANONYMOUS = "Invalid username or password."


def answer_store(store: Store, request: Request) -> Answer:
    """Answer as the store of large files: by hash, in ranges, and never to a request that has a token besides its signature."""
    if "authorization" in request.headers:
        return Answer(400, b"<Error><Code>InvalidArgument</Code></Error>", {"Content-Type": "application/xml"})
    sha256 = urlsplit(request.path).path.rpartition("/")[2]
    for repository in store.repositories.values():
        for tree in repository.commits.values():
            for name, file in tree.items():
                if file.lfs and file.sha256 == sha256:
                    return _bytes(name, file, request, {"ETag": f'"{file.etag}"', "Content-Type": "application/octet-stream"})
    return Answer(403, b"<Error><Code>AccessDenied</Code></Error>", {"Content-Type": "application/xml"})


def _api(store: Store, repository: HubRepository, request: Request, user: str | None, rest: list[str]) -> Answer:
    verb, revision, path = rest
    if verb == "refs":
        branches = [{"name": name, "ref": f"refs/heads/{name}", "targetCommit": sha} for name, sha in repository.branches.items()]
        tags = [{"name": name, "ref": f"refs/tags/{name}", "targetCommit": sha} for name, sha in repository.tags.items()]
        return _json({"branches": branches, "tags": tags, "converts": []})
    sha = repository.resolve(revision or "main")
    if sha is None:
        return _error(404, "RevisionNotFound", f"Invalid rev id: {revision}")
    query = parse_qs(urlsplit(request.path).query)
    if verb == "tree":
        return _tree(store, repository, request, sha, path, query)
    return _info(repository, sha, blobs=query.get("blobs", ["false"])[0].lower() == "true")


def _info(repository: HubRepository, sha: str, *, blobs: bool) -> Answer:
    siblings: list[dict[str, object]] = [{"rfilename": name} for name in sorted(repository.commits[sha])]
    if blobs:
        for sibling in siblings:
            file = repository.commits[sha][str(sibling["rfilename"])]
            sibling |= {"size": file.size, "blobId": file.blob_id}
            if file.lfs:
                sibling["lfs"] = {"sha256": file.sha256, "size": file.size, "pointerSize": len(file.pointer)}
    return _json(
        {
            "id": repository.repo_id,
            "modelId": repository.repo_id,
            "author": repository.repo_id.partition("/")[0],
            "sha": sha,
            "private": repository.private,
            "gated": "manual" if repository.gated else False,
            "disabled": False,
            "lastModified": "2023-04-01T12:00:00.000Z",
            "tags": [],
            "siblings": siblings,
        }
    )


def _tree(store: Store, repository: HubRepository, request: Request, sha: str, path: str, query: Mapping[str, list[str]]) -> Answer:
    prefix = f"{path}/" if path else ""
    below = {name: file for name, file in sorted(repository.commits[sha].items()) if name.startswith(prefix)}
    if not below and path:
        return _error(404, "EntryNotFound", f'"{path}" does not exist on "{sha}"')
    recursive = query.get("recursive", ["false"])[0].lower() == "true"
    parts = {name: name.removeprefix(prefix).split("/") for name in below}
    folders = {
        prefix + "/".join(part[:depth]) for part in parts.values() for depth in range(1, len(part) if recursive else min(2, len(part)))
    }
    entries: list[dict[str, object]] = [{"type": "directory", "oid": "0" * 40, "size": 0, "path": name} for name in sorted(folders)]
    entries += [_entry(name, file) for name, file in below.items() if recursive or len(parts[name]) == 1]
    start = int(query.get("cursor", ["0"])[0])
    end = start + store.page_size
    headers = {}
    if end < len(entries):
        address = urlsplit(request.path).path
        headers["Link"] = f'<{store.hub_url}{address}?recursive={recursive}&cursor={end}>; rel="next"'
    return _json(entries[start:end], headers)


def _entry(name: str, file: StoredFile) -> dict[str, object]:
    entry: dict[str, object] = {"type": "file", "oid": file.blob_id, "size": file.size, "path": name}
    return entry | ({"lfs": {"oid": file.sha256, "size": file.size, "pointerSize": len(file.pointer)}} if file.lfs else {})


def _resolve(store: Store, repository: HubRepository, request: Request, user: str | None, rest: list[str]) -> Answer:
    revision, path = rest
    if repository.gated and not repository.admits(user):
        about = f"Access to model {repository.repo_id} is restricted"
        if user is None:
            return _error(401, "GatedRepo", f"{about}. You must have access to it and be authenticated to access it. Please log in.")
        return _error(403, "GatedRepo", f"{about} and you are not in the authorized list. Visit {store.hub_url}/{repository.repo_id}")
    sha = repository.resolve(revision)
    if sha is None:
        return _error(404, "RevisionNotFound", f"Invalid rev id: {revision}")
    file = repository.commits[sha].get(path)
    if file is None:
        return _error(404, "EntryNotFound", "Entry not found", {"X-Repo-Commit": sha})
    headers = {"X-Repo-Commit": sha, "Accept-Ranges": "bytes", "ETag": f'"{file.etag}"', "X-Linked-Size": str(file.size)}
    if file.lfs:
        place = f"{store.url}/repos/{repository.repo_id}/{file.sha256}"
        return Answer(302, headers=headers | {"Location": f"{place}?X-Amz-Signature=0", "X-Linked-Etag": f'"{file.etag}"'})
    place = f"/api/resolve-cache/{repository.kind}/{repository.repo_id}/{sha}/{quote(path)}"
    return Answer(307, headers=headers | {"Location": place})


def _small_file(store: Store, repository: HubRepository, request: Request, user: str | None, rest: list[str]) -> Answer:
    sha, path = rest
    file = repository.commits.get(sha, {}).get(path)
    if file is None:
        return _error(404, "EntryNotFound", "Entry not found")
    return _bytes(path, file, request, {"X-Repo-Commit": sha, "ETag": f'"{file.etag}"', "Content-Type": "text/plain; charset=utf-8"})


def _bytes(name: str, file: StoredFile, request: Request, headers: Mapping[str, str]) -> Answer:
    """The whole content, or what a range asks for of it."""
    headers = {**headers, "Accept-Ranges": "bytes"}
    asked = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("range", ""))
    if asked is None:
        length = {"Content-Length": str(file.size)} if request.method == "HEAD" else {}
        return Answer(200, file.content, headers | length, content=name)
    start, end = int(asked[1]), int(asked[2] or len(file.content) - 1)
    if start >= len(file.content):
        return Answer(416, b"", headers | {"Content-Range": f"bytes */{len(file.content)}"})
    piece = file.content[start : end + 1]
    return Answer(206, piece, headers | {"Content-Range": f"bytes {start}-{start + len(piece) - 1}/{len(file.content)}"}, content=name)


def _json(data: object, headers: Mapping[str, str] | None = None) -> Answer:
    return Answer(200, json.dumps(data).encode(), {"Content-Type": "application/json; charset=utf-8", **(headers or {})})


def _error(status: int, code: str | None, message: str, headers: Mapping[str, str] | None = None) -> Answer:
    about = {"X-Error-Message": message} | ({"X-Error-Code": code} if code else {}) | dict(headers or {})
    return Answer(status, json.dumps({"error": message}).encode(), {"Content-Type": "application/json; charset=utf-8", **about})
