"""The package's loggers: what goes to a log, tracebacks included, holds nothing that a terminal would obey."""

import logging

from tunix_rt.render.characters import visible

_FORMATTER = logging.Formatter()


def logger(name: str) -> logging.Logger:
    """The logger of this name, which shows control characters as symbols.

    >>> logger("tunix_rt.example").name
    'tunix_rt.example'
    """
    found = logging.getLogger(name)
    # A filter of the package's own logger would see nothing of what the loggers below it take.
    found.addFilter(_made_visible)
    return found


def _made_visible(record: logging.LogRecord) -> bool:
    record.msg, record.args = visible(record.getMessage()), ()
    if record.exc_info and record.exc_info[0]:
        # Formatters use the text that is there; the exception stays for handlers that need it.
        record.exc_text = visible(_FORMATTER.formatException(record.exc_info))
    return True
