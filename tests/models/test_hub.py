"""What is fetched from the Hub: the small files, and one set of weights for each component."""

import json
import shutil
from fnmatch import fnmatch
from pathlib import Path

import huggingface_hub
import pytest

from sdrt.models import hub, open_component, open_model


class FakeHub:
    """A repository on disk: fetching copies the files that the patterns name, as ``snapshot_download`` does."""

    def __init__(self, repository: Path, cache: Path) -> None:
        self.repository, self.cache = repository, cache
        self.calls = 0

    def snapshot_download(self, repo_id: str, *, allow_patterns: list[str], cache_dir: Path | None) -> str:
        self.calls += 1
        self.cache = cache_dir or self.cache
        for file in self.repository.rglob("*"):
            name = str(file.relative_to(self.repository))
            if file.is_file() and any(fnmatch(name, pattern) for pattern in allow_patterns):
                (self.cache / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(file, self.cache / name)
        return str(self.cache)

    def fetched(self) -> set[str]:
        """The weights that came, by path."""
        found = (file.relative_to(self.cache) for file in self.cache.rglob("*") if file.suffix in (".safetensors", ".bin", ".onnx"))
        return {str(file) for file in found}


@pytest.fixture
def repository(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeHub:
    """A repository with everything that real ones have beside what is needed."""
    for component, stem in (("unet", "diffusion_pytorch_model"), ("text_encoder", "model")):
        for name in (f"{stem}.fp16.safetensors", f"{stem}.non_ema.safetensors"):
            shutil.copy(folder / component / f"{stem}.safetensors", folder / component / name)
    for name in ("v1-5-pruned.safetensors", "unet/diffusion_pytorch_model.bin", "vae/diffusion_pytorch_model.fp16.bin", "unet/model.onnx"):
        (folder / name).write_bytes(b"not needed")
    (folder / "vae_1_0").mkdir()
    shutil.copy(folder / "vae/diffusion_pytorch_model.safetensors", folder / "vae_1_0")
    fake = FakeHub(folder, tmp_path / "cache")
    monkeypatch.setattr(huggingface_hub, "snapshot_download", fake.snapshot_download)
    return fake


PLAIN = {
    "text_encoder/model.safetensors",
    "unet/diffusion_pytorch_model.safetensors",
    "vae/diffusion_pytorch_model.safetensors",
    "safety_checker/model.safetensors",
}


def test_plain_weights_alone_are_fetched(repository: FakeHub) -> None:
    model = open_model("someone/tiny")
    assert repository.fetched() == PLAIN
    assert all(model.tensors(component) for component in model.components)
    assert (repository.cache / "tokenizer" / "merges.txt").is_file()


def test_a_variant_is_fetched_where_there_is_one(repository: FakeHub) -> None:
    model = open_model("someone/tiny", variant="fp16")
    assert repository.fetched() == {
        "text_encoder/model.fp16.safetensors",
        "unet/diffusion_pytorch_model.fp16.safetensors",
        "vae/diffusion_pytorch_model.safetensors",
        "safety_checker/model.safetensors",
    }
    assert all(model.tensors(component) for component in model.components)


def test_shards_are_fetched_by_their_names(repository: FakeHub) -> None:
    unet = repository.repository / "unet"
    stem = "diffusion_pytorch_model"
    for infix in ("", ".fp16"):
        shard = f"{stem}-00001-of-00001{infix}.safetensors"
        (unet / f"{stem}{infix}.safetensors").rename(unet / shard)
        (unet / f"{stem}.safetensors.index{infix}.json").write_text(json.dumps({"weight_map": {"conv_in.weight": shard}}))
    open_model("someone/tiny")
    assert "unet/diffusion_pytorch_model-00001-of-00001.safetensors" in repository.fetched()
    assert not any("fp16" in name for name in repository.fetched())


def test_pickles_are_fetched_where_nothing_else_is_and_they_are_welcome(repository: FakeHub) -> None:
    for file in (repository.repository / "unet").glob("*.safetensors"):
        file.unlink()
    hub.download("someone/tiny", pickled="refuse")
    assert repository.fetched() == PLAIN - {"unet/diffusion_pytorch_model.safetensors"}
    hub.download("someone/tiny", pickled="weights_only")
    assert repository.fetched() == PLAIN - {"unet/diffusion_pytorch_model.safetensors"} | {"unet/diffusion_pytorch_model.bin"}


def test_a_repository_of_one_component_is_fetched(repository: FakeHub) -> None:
    repository.repository = repository.repository / "vae"
    opened = open_component("someone/vae", "vae_decoder", variant="fp16")
    assert repository.fetched() == {"diffusion_pytorch_model.safetensors"}
    assert opened.name == "someone/vae"
    assert "decoder.conv_in.weight" in opened.tensors("vae_decoder")


def test_repositories_are_kept_where_one_says(repository: FakeHub, tmp_path: Path) -> None:
    opened = open_model("someone/tiny", cache_dir=tmp_path / "elsewhere")
    assert opened.path == tmp_path / "elsewhere"
