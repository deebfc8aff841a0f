"""A session on an output folder in an object store, where no lease can be held.

Stores have no lock that all of them share. So nobody is kept out: two runs of one configuration
into one folder do some tiles twice, to the same bytes, and keep journals apart by their tokens. Two
runs of different configurations are told apart by the journal that the first one has begun.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from axion_stage3.errors import OutputError
from axion_stage3.runs.journal_segments import session_numbers

if TYPE_CHECKING:
    from axion_stage3.storage.locations import ObjectUrl


class NoLease:
    """Takes the place of a lease where there is none.

    Args:
        runs_folder: ``OUTPUT/runs``.

    Attributes:
        session: Number of this session, higher than that of every session whose journal is there.

    Raises:
        OutputError: The folder cannot be listed.
    """

    def __init__(self, runs_folder: ObjectUrl) -> None:
        try:
            self.session = 1 + max(session_numbers(runs_folder), default=0)
        except OSError as error:
            raise OutputError(
                f"The output folder {runs_folder.parent} cannot be read: {error.strerror}.",
                hint="Check the name of the bucket, the permissions, and that the store can be "
                "reached.",
                path=runs_folder.parent,
            ) from error

    def check(self) -> None:
        """Nothing can be lost that is not held."""

    def release(self) -> None:
        """Nothing is held."""
