"""Runs, kills, damage, changed inputs and changed configurations in any order."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from runs_workbench import Workbench, facts, kill

from axion_stage3.errors import RunConflictError

pytestmark = pytest.mark.usefixtures("_no_fsync")

SEEDS = st.integers(0, 1)
TILES = st.integers(0, 3)


class LifeOfAnOutputFolder(RuleBasedStateMachine):
    """The model: what each output should hold, and whose leave to overwrite is still open."""

    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.bench = Workbench(Path(self.folder.name), n_tiles=4)
        self.failing: set[str] = set()
        self.replacing: int | None = None
        self.latest_seed: int | None = None
        self.is_latest_killed = False

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            self.folder.cleanup()

    def seeds_of_outputs(self) -> set[int]:
        """Which configurations the outputs that are there come from."""
        return {
            int(self.bench.output(pair).read_bytes()[:1])
            for pair in self.bench.pairs
            if self.bench.output(pair).exists()
        }

    def open(self, seed: int, *, is_overwriting: bool, is_retrying: bool = False):
        """Open a session, or None if it refuses.

        It refuses when outputs would be mixed; else never, unless another configuration was used
        since, so that nobody can know whose an output without a journal line is.
        """
        others = self.seeds_of_outputs() - {seed}
        try:
            session = self.bench.open(
                facts(seed),
                existing="overwrite" if is_overwriting else "resume",
                retry_failed=is_retrying,
            )
        except RunConflictError:
            assert others or self.latest_seed != seed
            assert not is_overwriting
            return None
        assert not others or is_overwriting or self.replacing == seed
        if is_overwriting:
            self.replacing = seed
        elif self.replacing != seed:
            self.replacing = None
        self.latest_seed = seed
        self.is_latest_killed = True
        return session

    @rule(
        seed=SEEDS,
        is_overwriting=st.booleans(),
        n_recorded=st.integers(0, 4),
        is_ahead=st.booleans(),
    )
    def run_and_kill(
        self, seed: int, n_recorded: int, *, is_overwriting: bool, is_ahead: bool
    ) -> None:
        """SIGKILL after some tiles; perhaps between an output and its journal line."""
        session = self.open(seed, is_overwriting=is_overwriting)
        if session is None:
            return
        to_do = session.plan.to_do
        for pair in to_do[:n_recorded]:
            self.process(session, pair)
        if is_ahead and n_recorded < len(to_do):
            self.bench.write(session, to_do[n_recorded])
        kill(session)

    def process(self, session, pair) -> None:
        if pair.name in self.failing:
            session.record(self.bench.fail(session, pair))
        else:
            session.record(self.bench.write(session, pair))

    @rule(seed=SEEDS, is_overwriting=st.booleans(), is_retrying=st.booleans())
    def run_to_the_end(self, seed: int, *, is_overwriting: bool, is_retrying: bool) -> None:
        session = self.open(seed, is_overwriting=is_overwriting, is_retrying=is_retrying)
        if session is None:
            return
        n_left = session.plan.n_left_out
        for pair in session.plan.to_do:
            self.process(session, pair)
        summary = session.write_summary()
        session.close("finished", 0)
        self.is_latest_killed = False
        if n_left:
            # Only failed tiles were retried: leave to replace the others stays as it was.
            return
        self.replacing = None
        known_failed = {failure["tile_name"] for failure in summary["failed_tiles"]}
        for pair in self.bench.pairs:
            if pair.name in known_failed:
                assert not self.bench.output(pair).exists()
            else:
                assert self.bench.output(pair).read_bytes() == self.bench.content(pair, seed)
        assert summary["processed"] == 4 - len(known_failed)
        assert summary["pending"] == 0
        again = self.bench.open(facts(seed))
        assert again.plan.to_do == ()
        again.close("finished", 0)
        self.is_latest_killed = False

    @rule(tile=TILES)
    def change_an_input(self, tile: int) -> None:
        self.bench.change_input(self.bench.pairs[tile])

    @rule(tile=TILES)
    def spoil_or_mend_an_input(self, tile: int) -> None:
        name = self.bench.pairs[tile].name
        self.failing ^= {name}
        self.bench.change_input(self.bench.pairs[tile])

    @rule(tile=TILES)
    def lose_an_output(self, tile: int) -> None:
        self.bench.output(self.bench.pairs[tile]).unlink(missing_ok=True)

    @rule(n_bytes=st.integers(1, 400))
    def tear_the_latest_journal(self, n_bytes: int) -> None:
        journals = sorted((self.bench.output_dir / "runs").glob("journal-*"))
        # Not of a closed session: closing syncs. Not while overwriting: a power cut that takes the
        # last seconds of a journal, but not the outputs of another configuration made in them, is
        # not promised to be noticed.
        if journals and self.is_latest_killed and self.replacing is None:
            content = journals[-1].read_bytes()
            # Its first line is synced before anything else happens: a crash cannot take it.
            first = content.index(b"\n") + 1
            journals[-1].write_bytes(content[: max(first, len(content) - n_bytes)])

    @invariant()
    def no_lease_is_left(self) -> None:
        if hasattr(self, "bench"):
            assert not list((self.bench.output_dir / "runs").glob("lease-*"))


LifeOfAnOutputFolder.TestCase.settings = settings(
    max_examples=60, stateful_step_count=15, deadline=None
)
TestLifeOfAnOutputFolder = LifeOfAnOutputFolder.TestCase
