"""Choose the files of a repository that are needed: pure functions of its list and of what is wanted.

Only files that will be read are chosen: no pictures, no notes, no weights for other frameworks or of other variants.
"""

from collections.abc import Iterable, Sequence

from sdrt.errors import ConfigError, MissingFileError, ModelError
from sdrt.models.components import COMPONENTS, ComponentName
from sdrt.models.hub.byte_sizes import in_words
from sdrt.models.hub.choosing_packages import choose_packages, package_folders
from sdrt.models.hub.hub_file import HubFile, Listing
from sdrt.models.hub.wanted import Chosen, Wanted
from sdrt.models.lora.scales import PEFT_CONFIG, PEFT_FILE
from sdrt.models.pickled import PICKLE_SUFFIXES, refusal
from sdrt.models.weight_files import variants_of, weight_names

__all__ = ["choose_component", "choose_file", "choose_folder", "choose_model", "choose_single_file"]

_FOLDERS: dict[str, frozenset[ComponentName]] = {
    folder: frozenset(name for name, component in COMPONENTS.items() if component.folder == folder)
    for folder in dict.fromkeys(component.folder for component in COMPONENTS.values())
}
# Folders of configurations and vocabularies alone.
_SIDE_FOLDERS = ("scheduler", "tokenizer", "tokenizer_2", "feature_extractor")
_TOP = ("model_index.json", "sdrt.json")
_SMALL = (".json", ".txt")
_CHECKPOINTS = (".safetensors", *PICKLE_SUFFIXES)
# Of the files that one message names.
_NAMED = 12


def choose_model(listing: Listing, wanted: Wanted) -> Chosen:
    """Choose what a whole model needs: of each component one set of weights, or one folder of packages, or its only checkpoint.

    Raises
    ------
    MissingFileError : it has no such variant, or weights of a component are missing
    ConfigError : packages are wanted and it holds none, or weights are wanted and it holds packages
    ModelError : it holds no model, or several checkpoints
    """
    has_packages = bool(package_folders(listing.by_path))
    is_layout = "unet/config.json" in listing.by_path
    if has_packages and (wanted.needs.packages or not is_layout):
        if wanted.needs.packages is False:
            raise ConfigError(
                f"{listing.repo_id}: holds Core ML packages, and weights are needed here; pass their source model, or backend='coreml'"
            )
        return choose_packages(listing, wanted)
    if wanted.needs.packages:
        raise ConfigError(
            f"{listing.repo_id}: holds no Core ML packages; convert it with 'sdrt convert --model-version {listing.repo_id}', or choose "
            "another backend"
        )
    if is_layout:
        return _choose_layout(listing, wanted)
    _check_may_be_model(listing)
    return choose_single_file(listing, wanted, "a checkpoint")


def _check_may_be_model(listing: Listing) -> None:
    """Say what a repository is that is no model for sdrt, before any weights of it are fetched.

    Raises
    ------
    ModelError : it is a pipeline of another kind, or one component
    """
    if "model_index.json" in listing.by_path:
        folders = dict.fromkeys(file.path.partition("/")[0] for file in listing.files if "/" in file.path)
        found = ", ".join(list(folders)[:_NAMED]) or "no folders"
        raise ModelError(
            f"{listing.repo_id}: has no unet/ (found: {found}), and sdrt runs Stable Diffusion 1.x, 2.x and XL; choose one of those"
        )
    top = _names(listing, "")
    if "config.json" in top and weight_names(top, None, "weights_only"):
        raise ModelError(
            f"{listing.repo_id}: is one component by its config.json, not a model; pass it, or this as vae, controlnet or t2i_adapter"
        )


def _choose_layout(listing: Listing, wanted: Wanted) -> Chosen:
    inside = {folder: _names(listing, folder) for folder in _FOLDERS}
    needed = {folder: names for folder, names in inside.items() if names and not _FOLDERS[folder] <= wanted.needs.without}
    if wanted.variant is not None:
        _check_variant(listing, wanted.variant, inside)
    paths = [file.path for file in listing.files if _is_small(file.path)]
    for folder, names in needed.items():
        paths += [f"{folder}/{name}" for name in _weights(listing, folder, names, wanted)]
    return Chosen(listing.pick(dict.fromkeys(paths)))


def choose_component(listing: Listing, component: ComponentName, wanted: Wanted) -> Chosen:
    """Choose what one component needs: a repository that is one, the folder of a whole model, or its only file of weights.

    Raises
    ------
    MissingFileError, ModelError : as of `choose_model`
    """
    own = COMPONENTS[component].folder
    # those of h94/IP-Adapter lie one deeper, that of Stable Diffusion 1.x (and of XL's "vit-h") first
    for folder in ("", own, f"models/{own}"):
        if "config.json" in _names(listing, folder):
            return choose_folder(listing, folder, wanted)
    return choose_single_file(listing, wanted, f"a {own}")


def choose_folder(listing: Listing, folder: str, wanted: Wanted) -> Chosen:
    """Choose what the component in a folder needs, whichever it is: its configuration and one set of weights.

    Raises
    ------
    MissingFileError, ModelError : as of `choose_model`
    """
    names, prefix = _names(listing, folder), f"{folder}/" if folder else ""
    # the second holds its preferences
    small = [name for name in ("config.json", "sdrt.json", "preprocessor_config.json") if name in names]
    return Chosen(listing.pick(prefix + name for name in (*small, *_weights(listing, folder, names, wanted))))


def choose_single_file(listing: Listing, wanted: Wanted, what: str, first: Sequence[str] = ()) -> Chosen:
    """Choose the one file of weights at the top of a repository, and what is read beside it.

    Parameters
    ----------
    what : str
        What is looked for, for the message: "a LoRA".
    first : sequence of str
        Names that go before others.

    Raises
    ------
    ModelError : there are several, or none
    """
    top = {file.path: file for file in listing.files if "/" not in file.path}
    if named := next((name for name in first if name in top), None):
        return choose_file(listing, named)
    safe = [file for file in top.values() if file.path.endswith(".safetensors")]
    pickles = [file for file in top.values() if file.path.endswith(PICKLE_SUFFIXES)]
    found = safe or (pickles if wanted.pickled == "weights_only" else [])
    if len(found) == 1:
        return choose_file(listing, found[0].path)
    if found:
        raise ModelError(f"{listing.repo_id}: holds several files that may be {what}; name one: {_addresses(listing, found)}")
    if pickles and first:
        # those files are read from safetensors alone
        raise ModelError(f"{listing.repo_id}: {pickles[0].path} would have to be unpickled, which can run code: convert it to safetensors")
    if pickles:
        raise ModelError(f"{listing.repo_id}: {refusal(*[file.path for file in pickles[:_NAMED]])}")
    below = [file for file in listing.files if file.path.endswith(_CHECKPOINTS)]
    also = f"; name one of its files: {_addresses(listing, below)}" if below else "; check the name"
    raise ModelError(f"{listing.repo_id}: holds nothing that may be {what}{also}")


def choose_file(listing: Listing, path: str) -> Chosen:
    """Choose one file by its path, and what is read beside it: the configuration of an adapter of PEFT.

    Raises
    ------
    MissingFileError : there is none
    """
    if path in listing.by_path:
        folder, slash, name = path.rpartition("/")
        beside = f"{folder}{slash}{PEFT_CONFIG}" if name == PEFT_FILE else ""
        return Chosen(listing.pick(each for each in (path, beside) if each in listing.by_path), path)
    similar = [file for file in listing.files if file.path.endswith(_CHECKPOINTS)]
    raise MissingFileError(f"{listing.repo_id}: has no file {path}; {_addresses(listing, similar) or 'it holds no weights at all'}")


def _is_small(path: str) -> bool:
    folder, _, name = path.rpartition("/")
    return path in _TOP or ((folder in _FOLDERS or folder in _SIDE_FOLDERS) and name.endswith(_SMALL))


def _names(listing: Listing, folder: str) -> list[str]:
    """Return the names of the files in a folder, not those below."""
    parents = (file.path.rpartition("/") for file in listing.files)
    return [name for parent, _, name in parents if parent == folder]


def _weights(listing: Listing, folder: str, names: Iterable[str], wanted: Wanted) -> tuple[str, ...]:
    names = tuple(names)
    if chosen := weight_names(names, wanted.variant, wanted.pickled) or weight_names(names, None, wanted.pickled):
        return chosen
    where = f"{listing.repo_id}: {folder or 'the repository'}"
    if have := variants_of(names):
        raise MissingFileError(f"{where} has weights of variant {', '.join(have)} alone; pass variant={have[0]!r}")
    if pickles := [name for name in names if name.endswith(PICKLE_SUFFIXES)]:
        raise MissingFileError(f"{where} has no safetensors, and {refusal(*pickles)}")
    raise MissingFileError(f"{where} has no weights; the repository is incomplete")


def _check_variant(listing: Listing, variant: str, folders: dict[str, list[str]]) -> None:
    variants = sorted({each for names in folders.values() for each in variants_of(names)})
    if variant in variants:
        return
    sizes = []
    for each in variants:
        files = [
            listing.by_path[f"{folder}/{name}"] for folder, names in folders.items() for name in weight_names(names, each, "weights_only")
        ]
        sizes.append(f"{each} ({in_words(sum(file.size for file in files))})")
    raise MissingFileError(
        f"{listing.repo_id}: no component has weights of variant {variant!r} (found: {', '.join(sizes) or 'none but the plain ones'}); "
        "pass one of those, or none"
    )


def _addresses(listing: Listing, files: Sequence[HubFile]) -> str:
    named = ", ".join(f"{listing.repo_id}::{file.path} ({in_words(file.size)})" for file in files[:_NAMED])
    return named + (f" and {len(files) - _NAMED} more" if len(files) > _NAMED else "")
