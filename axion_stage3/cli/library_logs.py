"""What the library logs, shown by the command line."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from axion_stage3.cli.output import Output

_LIBRARY: Final = "axion_stage3"


@contextmanager
def library_logs(output: Output) -> Iterator[None]:
    """Show the records of the library's loggers as details, as long as the context lasts.

    Modules log with ``logging.getLogger(__name__)`` at level DEBUG and configure nothing; without
    ``--verbose`` the records are not even made.
    """
    if not output.is_verbose:
        yield
        return
    logger, sink = logging.getLogger(_LIBRARY), _SinkHandler(output)
    before = logger.level
    logger.addHandler(sink)
    logger.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        logger.removeHandler(sink)
        logger.setLevel(before)


class _SinkHandler(logging.Handler):
    def __init__(self, output: Output) -> None:
        super().__init__()
        self._output = output

    def emit(self, record: logging.LogRecord) -> None:
        self._output.detail(record.getMessage(), logger=record.name)
