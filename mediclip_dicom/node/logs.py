"""Structured log: events with UIDs, never with patient data."""

import logging
import sys

import structlog

from mediclip_dicom.settings import LoggingSettings

# Their failures reach us as typed errors. The engine has a log of its own: engine.library_log.
CHATTY_LIBRARIES = ("pynetdicom", "pydicom", "highdicom", "alembic", "httpx", "PIL")


def configure_logging(settings: LoggingSettings) -> None:
    """Send the events of all three packages to standard error in the chosen form."""
    processors: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if settings.format == "json":
        processors += [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    else:
        # The library's usual traceback shows local variables, which may be a patient's.
        processors.append(
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
            )
        )
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(settings.level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(name)s: %(message)s")
    # Warnings of pydicom quote the value that they warn of, which may be a patient's name.
    logging.captureWarnings(capture=True)
    for name in (*CHATTY_LIBRARIES, "py.warnings"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
