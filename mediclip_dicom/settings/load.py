"""Loading of `config.toml` and the environment into one `Settings`."""

import difflib
import os
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_settings import SettingsError

from mediclip_dicom.errors import ConfigError
from mediclip_dicom.settings.settings import ENVIRONMENT_PREFIX, ENVIRONMENT_SEPARATOR, Settings


def load_settings(path: Path | None) -> Settings:
    """Read a TOML file, override it by environment variables, and validate.

    Args:
        path: the file; None uses the defaults alone. A variable such as
            `MEDICLIP_NODE__PORT=11113` overrides the file.

    Raises:
        ConfigError: unreadable file, unknown key (with the nearest known one), or a bad value.
    """
    values = {} if path is None else _read_toml(path)
    try:
        _refuse_unknown_sections()
        return Settings(**values)
    except ValidationError as error:
        source = "the environment" if path is None else f"{path} (or the environment)"
        lines = [_explain(detail, Settings) for detail in error.errors()]
        raise ConfigError(f"{source}: " + "; ".join(lines)) from error
    except SettingsError as error:
        raise ConfigError(f"an environment variable can't be read: {error}") from error


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(
            f"there is no configuration file at {path}; give one with --config FILE "
            "or copy config.toml from the project"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from error
    storage = values.get("storage", {})
    if isinstance(storage, dict):
        # A relative root is meant relative to its file, wherever the service is started from.
        root = path.resolve().parent / str(storage.get("root", "data"))
        values["storage"] = storage | {"root": str(root)}
    tls = values.get("tls", {})
    if isinstance(tls, dict):
        for key in ("certificate", "private_key", "trusted"):
            if key in tls:
                tls[key] = str(path.resolve().parent / str(tls[key]))
    return values


def _refuse_unknown_sections() -> None:
    """Refuse variables of unknown sections, which pydantic-settings ignores."""
    for name in sorted(os.environ):
        section, separator, _ = name.partition(ENVIRONMENT_SEPARATOR)
        if not separator or not section.startswith(ENVIRONMENT_PREFIX):
            continue
        if (key := section.removeprefix(ENVIRONMENT_PREFIX).lower()) not in Settings.model_fields:
            raise ConfigError(
                f"environment variable {name}: {_unknown(key, key, Settings.model_fields)}"
            )


def _explain(detail: Any, model: type[BaseModel]) -> str:
    location = [str(part) for part in detail["loc"]]
    key = ".".join(location)
    if detail["type"] != "extra_forbidden":
        message = f"{key}: {detail['msg'].removeprefix('Value error, ')}"
        return message if detail["type"] == "missing" else f"{message} (got {detail['input']!r})"
    return _unknown(key, location[-1], _section_at(model, location[:-1]).model_fields)


def _unknown(key: str, name: str, known: Iterable[str]) -> str:
    nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
    hint = f"did you mean {nearest[0]!r}?" if nearest else f"known here: {', '.join(known)}"
    return f"unknown setting {key!r}; {hint}"


def _section_at(model: type[BaseModel], location: list[str]) -> type[BaseModel]:
    for part in location:
        if part.isdigit():
            continue
        annotation = model.model_fields[part].annotation
        candidates = [annotation, *get_args(annotation)]
        model = next(c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel))
    return model
