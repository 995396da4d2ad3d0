"""Repositories as the Hugging Face Hub keeps them: files under git and Git-LFS, commits, branches and tags."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal, TypeAlias

from sdrt.models import path as embedded_path

Files: TypeAlias = "Mapping[str, bytes | StoredFile]"

# What .gitattributes gives to Git-LFS in a new repository of models, those of its patterns that matter here.
_LFS_SUFFIXES = (".bin", ".safetensors", ".ckpt", ".mlmodel", ".onnx", ".pt", ".zip")
# The Hub refuses larger files outside LFS.
_LFS_SIZE = 10 * 1024 * 1024


def lfs_pointer(content: bytes) -> bytes:
    """The text that git holds in place of a large file."""
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{hashlib.sha256(content).hexdigest()}\nsize {len(content)}\n".encode()


@dataclass(frozen=True)
class StoredFile:
    """One file of a commit; the Hub may claim another size or hash than its bytes have."""

    content: bytes
    lfs: bool
    claimed_size: int | None = None
    claimed_sha256: str | None = None

    @cached_property
    def size(self) -> int:
        return len(self.content) if self.claimed_size is None else self.claimed_size

    @cached_property
    def sha256(self) -> str:
        return self.claimed_sha256 or hashlib.sha256(self.content).hexdigest()

    @cached_property
    def pointer(self) -> bytes:
        return f"version https://git-lfs.github.com/spec/v1\noid sha256:{self.sha256}\nsize {self.size}\n".encode()

    @cached_property
    def blob_id(self) -> str:
        """Git's name for what lies in the tree, which of a file under LFS is its pointer."""
        data = self.pointer if self.lfs else self.content
        return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()

    @cached_property
    def etag(self) -> str:
        return self.sha256 if self.lfs else self.blob_id


def stored(name: str, content: "bytes | StoredFile") -> StoredFile:
    """A file as the Hub would keep it under this name."""
    if isinstance(content, StoredFile):
        return content
    return StoredFile(content, lfs=name.endswith(_LFS_SUFFIXES) or len(content) > _LFS_SIZE)


def folder_files(folder: Path, below: str = "") -> dict[str, bytes | StoredFile]:
    """All files of a folder, by their paths in it."""
    prefix = f"{below}/" if below else ""
    return {prefix + file.relative_to(folder).as_posix(): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


@dataclass
class HubRepository:
    """A repository with its history.

    Parameters
    ----------
    repo_id : str
    kind : "models", "datasets" or "spaces"
    private : bool
        Nobody but its readers knows that it is there.
    gated : bool
        Everybody sees it, and its readers alone fetch files.
    readers : names of users
    """

    repo_id: str
    kind: Literal["models", "datasets", "spaces"] = "models"
    private: bool = False
    gated: bool = False
    readers: frozenset[str] = frozenset()
    commits: dict[str, dict[str, StoredFile]] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)

    def commit(self, files: Files, branch: str = "main") -> str:
        """Make a commit of exactly these files the tip of a branch, and return its hash."""
        tree = {name: stored(name, content) for name, content in files.items()}
        history = repr([self.repo_id, branch, len(self.commits), sorted((name, file.etag) for name, file in tree.items())])
        sha = hashlib.sha1(history.encode(), usedforsecurity=False).hexdigest()
        self.commits[sha] = tree
        self.branches[branch] = sha
        return sha

    def resolve(self, revision: str) -> str | None:
        """The hash of the commit that a branch, a tag, a hash or the short form of one means."""
        for names in (self.branches, self.tags):
            if revision in names:
                return names[revision]
        return next((sha for sha in self.commits if len(revision) >= 7 and sha.startswith(revision)), None)

    def admits(self, user: str | None) -> bool:
        return user is not None and user in self.readers

    @property
    def tip(self) -> str:
        return self.branches["main"]


def nano_files() -> dict[str, bytes | StoredFile]:
    """The embedded model in diffusers' layout, with what repositories have beside it."""
    return {"README.md": b"# nano\n", ".gitattributes": b"*.safetensors filter=lfs diff=lfs merge=lfs -text\n"} | folder_files(
        embedded_path("nano")
    )


def _package(stem: str) -> dict[str, bytes]:
    inner = "Data/com.apple.CoreML"
    return {
        "Manifest.json": b'{"fileFormatVersion": "1.0.0"}',
        f"{inner}/model.mlmodel": f"the program of {stem}".encode() * 20,
        f"{inner}/weights/weight.bin": hashlib.sha256(stem.encode()).digest() * 64,
    }


def _compiled(stem: str) -> dict[str, bytes]:
    return {
        "coremldata.bin": b"data",
        "metadata.json": b"[{}]",
        "model.mil": f"program(1.0) of {stem}".encode(),
        "weights/weight.bin": hashlib.sha256(stem.encode()).digest() * 64,
    }


_APPLE_ROLES = {"text_encoder": "TextEncoder", "unet": "Unet", "vae_decoder": "VAEDecoder", "safety_checker": "SafetyChecker"}


def apple_files(
    version: str = "CompVis/stable-diffusion-v1-4",
    attentions: Iterable[str] = ("original", "split_einsum"),
    packages: Mapping[str, Path] | None = None,
) -> dict[str, bytes | StoredFile]:
    """A repository of Apple's: packages and compiled ones for each kind of attention, zips beside them.

    The packages have the right names and a little text in place of a program, unless `packages` gives the folder of a variant
    (``original/packages``).
    """
    files: dict[str, bytes | StoredFile] = {"README.md": b"# Core ML Stable Diffusion\n", ".gitattributes": b"*.bin filter=lfs\n"}
    for attention in attentions:
        for role, resource in _APPLE_ROLES.items():
            stem = f"Stable_Diffusion_version_{version.replace('/', '_')}_{role}"
            files |= {f"{attention}/packages/{stem}.mlpackage/{name}": data for name, data in _package(attention + stem).items()}
            files |= {f"{attention}/compiled/{resource}.mlmodelc/{name}": data for name, data in _compiled(attention + stem).items()}
        files |= {f"{attention}/compiled/vocab.json": b'{"a</w>": 0}', f"{attention}/compiled/merges.txt": b"#version: 0.2\n"}
        files[f"{version.rpartition('/')[2]}_{attention}_compiled.zip"] = b"PK\5\6" + b"\0" * 18
    for variant, folder in (packages or {}).items():
        files = {name: data for name, data in files.items() if not name.startswith(f"{variant}/")} | folder_files(folder, variant)
    return files
