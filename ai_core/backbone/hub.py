"""Weights files of tags: from the cache, else from the model hub if it is reachable."""

import errno
import re
import urllib.error
import urllib.request
from pathlib import Path

import structlog

from ai_core.backbone.families import TIMM_PREFIX, nearest_accepted
from ai_core.backbone.published import PUBLISHED
from ai_core.errors import BackboneUnavailableError

HUB_PREFIX = "hf-hub:"
"""open_clip's prefix of a repository on the model hub, which holds a config and its weights."""

CONFIG_FILE = "open_clip_config.json"

REACH_SECONDS = 5.0
"""Seconds without an answer after which the hub counts as unreachable."""

_FILES = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
_TIMM_FILES = ("model.safetensors", "pytorch_model.bin")

_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_UNWRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST)

log = structlog.get_logger()


def cache_folder(cache_dir: Path | str | None) -> Path:
    """Return the folder of downloaded weights: the given one, or the hub's default."""
    from huggingface_hub import constants

    return Path(cache_dir) if cache_dir is not None else Path(constants.HF_HUB_CACHE)


def find_weights(*, model: str, tag: str, cache_dir: Path | str | None) -> Path:
    """Return the local file with the weights of a tag, downloading it at most once.

    The cache is asked first and without the network. Only then, unless HF_HUB_OFFLINE is set,
    the hub is asked, after one short look at whether it answers at all.

    Raises:
        BackboneUnavailableError: unknown tag, or not cached and not to be had.
    """
    folder = cache_folder(cache_dir)
    tags, place = _place_on_hub(model, tag)
    if place is None:
        known = ", ".join(tags) or "none"
        reason = f"not a file on this machine, and not a tag of this model (known tags: {known})"
        if tag in tags:
            reason = "the tag has no place on the model hub"
        raise BackboneUnavailableError(model=model, weights=tag, cache_dir=folder, reason=reason)
    repository, names = place
    return _cached(repository, names, folder) or _download(
        repository, names, folder=folder, model=model, tag=tag
    )


def find_config(model: str, *, cache_dir: Path | str | None) -> Path:
    """Return the local config of an "hf-hub:" name, downloading it at most once.

    Raises:
        BackboneUnavailableError: not cached and not to be had.
    """
    return _find_in_repository(model, (CONFIG_FILE,), cache_dir=cache_dir)


def find_repository_weights(model: str, *, cache_dir: Path | str | None) -> Path:
    """Return the local weights of an "hf-hub:" name, downloading them at most once.

    Raises:
        BackboneUnavailableError: not cached and not to be had.
    """
    return _find_in_repository(model, _FILES, cache_dir=cache_dir)


def _find_in_repository(
    model: str, names: tuple[str, ...], *, cache_dir: Path | str | None
) -> Path:
    folder = cache_folder(cache_dir)
    repository = model.removeprefix(HUB_PREFIX)
    if not _REPOSITORY.fullmatch(repository):
        raise BackboneUnavailableError(
            model=model,
            weights=names[0],
            cache_dir=folder,
            reason="a name on the hub has the form hf-hub:organisation/repository",
        )
    if found := _cached(repository, names, folder):
        return found
    try:
        return _download(repository, names, folder=folder, model=model, tag=names[0])
    except BackboneUnavailableError as error:
        reason = (
            f"{error.reason}; without it there is no such model here, and the nearest accepted "
            f"name is {nearest_accepted(model)!r}"
        )
        raise BackboneUnavailableError(
            model=model, weights=names[0], cache_dir=folder, reason=reason
        ) from error


def _place_on_hub(model: str, tag: str) -> tuple[list[str], tuple[str, tuple[str, ...]] | None]:
    """Return the known tags of a model, and repository and file names of this one."""
    if known := PUBLISHED.get(model):
        place = (known.repository, known.files) if tag == known.tag else None
        return [known.tag], place
    if model.startswith(TIMM_PREFIX):
        import timm

        name = model.removeprefix(TIMM_PREFIX)
        full = timm.list_pretrained(f"{name}.*")
        tags = [one.partition(".")[2] for one in full]
        return tags, (f"timm/{name}.{tag}", _TIMM_FILES) if tag in tags else None
    from open_clip.pretrained import get_pretrained_cfg, list_pretrained_tags_by_model

    tags = list_pretrained_tags_by_model(model)
    entry = get_pretrained_cfg(model, tag)
    if "hf_hub" not in entry:
        return tags, None
    repository, _, named = str(entry["hf_hub"]).rpartition("/")
    return tags, (repository, (named,) if named else _FILES)


def _cached(repository: str, names: tuple[str, ...], folder: Path) -> Path | None:
    from huggingface_hub import try_to_load_from_cache

    for name in names:
        found = try_to_load_from_cache(repository, name, cache_dir=folder)
        if isinstance(found, str):
            return Path(found)
    return None


def _download(
    repository: str, names: tuple[str, ...], *, folder: Path, model: str, tag: str
) -> Path:
    from huggingface_hub import constants, hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError

    reason = "not in the cache, and HF_HUB_OFFLINE forbids the download"
    if not constants.HF_HUB_OFFLINE:
        reason = _unreachable(constants.ENDPOINT)
    if reason:
        raise BackboneUnavailableError(model=model, weights=tag, cache_dir=folder, reason=reason)
    log.info("weights.download_started", model=model, weights=tag, cache_dir=str(folder))
    absent = []
    for name in names:
        try:
            return Path(hf_hub_download(repository, name, cache_dir=folder))
        except EntryNotFoundError:
            absent.append(name)
        except HfHubHTTPError as error:
            reason = f"download of {name} from {repository} failed: {_first_line(error)}"
            break
        except OSError as error:
            reason = _local_fault(error, folder) or (
                f"download of {name} from {repository} failed: {_first_line(error)}"
            )
            break
    else:
        reason = f"download failed: {repository} has no {' and no '.join(absent)}"
    raise BackboneUnavailableError(model=model, weights=tag, cache_dir=folder, reason=reason)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _local_fault(error: OSError, folder: Path) -> str:
    """Say which fault of this machine stopped a download; empty where it was none."""
    if error.errno in _FULL:
        return f"the disk of the cache folder {folder} is full ({error.strerror})"
    if error.errno in _UNWRITABLE:
        return f"the cache folder {folder} can't be written ({error.strerror})"
    return ""


def _unreachable(endpoint: str) -> str:
    """Return the reason why the hub is not reachable; empty if it answers."""
    request = urllib.request.Request(endpoint, method="HEAD")
    try:
        with urllib.request.urlopen(request, timeout=REACH_SECONDS):
            return ""
    except urllib.error.HTTPError:
        return ""  # it answered
    except (OSError, ValueError) as error:
        cause = getattr(error, "reason", error)
        return f"not in the cache, and the model hub is not reachable ({cause})"
