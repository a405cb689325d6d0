"""Configuration of a command, from --config and the environment."""

from dataclasses import dataclass
from pathlib import Path

import typer

from mediclip_dicom.node import configure_logging
from mediclip_dicom.settings import Settings, load_settings

DEFAULT_FILE = Path("config.toml")


@dataclass(frozen=True, slots=True)
class CliContext:
    """Value of --config, shared by all commands."""

    config: Path | None

    @property
    def file(self) -> Path | None:
        """File that is read: the named one, else ./config.toml, else none."""
        if self.config is not None:
            return self.config
        return DEFAULT_FILE if DEFAULT_FILE.exists() else None


def settings_of(context: typer.Context) -> Settings:
    """Load the settings of this command line, and configure logging accordingly.

    Raises:
        ConfigError: the file or the environment is wrong.
    """
    settings = load_settings(context.ensure_object(CliContext).file)
    configure_logging(settings.logging)
    return settings
