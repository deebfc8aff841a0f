"""A whole run: from folders of tiles to an output folder with its summary."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from axion_stage3.config import InferenceConfig, resolve_config
from axion_stage3.inference.engine import OutcomeCounter, make_engine
from axion_stage3.inference.pair_finding import find_run_pairs
from axion_stage3.inference.preflight import disk_warning
from axion_stage3.inference.run_facts import facts_of_run
from axion_stage3.inference.run_observer import RunObserver
from axion_stage3.inference.tile_selection import part_of, select_pairs
from axion_stage3.runs.interruption import Interruption
from axion_stage3.runs.merging import merge_if_last
from axion_stage3.runs.session import RunSession
from axion_stage3.runs.summary import (
    SUMMARY_NAME,
    FailedTileRecord,
    remove_reports,
    statistics_path,
)
from axion_stage3.statistics.spectral_indices import find_indices

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from axion_stage3.inference.engine import Engine
    from axion_stage3.runs.journal import EndState
    from axion_stage3.storage.locations import Location

EXIT_TILES_FAILED: Final = 3


@dataclass(frozen=True, slots=True)
class RunResult:
    """How a run ended.

    Attributes:
        summary: The document of ``inference_summary.json``, for the tiles of this run alone.
        failed_tiles: Tiles that failed, by name; the first thousand.
        exit_code: 0, 3 (tiles failed), 130 or 143 (stopped by a signal).
        is_interrupted: Whether a signal stopped the run before its end.
        is_over_failure_limit: Whether ``max_failures`` stopped the run before its end.
        n_left_out: Tiles left for a later run, because only failed ones were asked for.
        output_dir: The output folder.
        summary_path: Where the summary was written; None if no statistics were wanted, or if the
            run is a part of a larger one that is not at its end.
        statistics_path: Where the statistics of all tiles were written; None likewise.
    """

    summary: Mapping[str, Any]
    failed_tiles: tuple[FailedTileRecord, ...]
    exit_code: int
    is_interrupted: bool
    is_over_failure_limit: bool
    n_left_out: int
    output_dir: Location
    summary_path: Location | None
    statistics_path: Location | None


def run_inference(
    config: InferenceConfig | None = None,
    *,
    observer: RunObserver | None = None,
    command: Sequence[str] = (),
    **options: Any,
) -> RunResult:
    """Ground all pairs of two folders.

    A run that was stopped goes on where it was when it is started again with the same options.
    While it runs in the main thread, SIGINT and SIGTERM end it cleanly.

    Args:
        config: What to do; or give its entries as keyword arguments.
        observer: Is told how the run goes on.
        command: Command line, for the run manifest.
        **options: Entries of :class:`~axion_stage3.config.InferenceConfig`, if ``config`` is None.

    Returns:
        The summary, the tiles that failed and the exit code. Tiles that fail do not raise.

    Raises:
        UsageError: The options cannot work.
        InputError: A folder is missing, or there are no pairs.
        CheckpointError: The checkpoint is missing or unfit.
        OutputError: The output folder cannot be written, or belongs to another run.
        ResourceError: There is no such device.
    """
    if config is None:
        config = resolve_config(InferenceConfig, options).config
    elif options:
        raise TypeError(f"give a config or its entries, not both: {', '.join(options)}")
    with Interruption() as interruption:
        return _Run(config, observer or RunObserver(), interruption).run(command)


class _Run:
    def __init__(
        self, config: InferenceConfig, observer: RunObserver, interruption: Interruption
    ) -> None:
        self._config = config
        self._observer = observer
        self._interruption = interruption
        self._stop = interruption.event

    def run(self, command: Sequence[str]) -> RunResult:
        config, observer = self._config, self._observer
        find_indices(config.indices)  # a name that is not known is said before the model is read
        with make_engine(config, observer, self._stop) as engine:
            return self._run_on(engine, command)

    def _run_on(self, engine: Engine, command: Sequence[str]) -> RunResult:
        config, observer = self._config, self._observer
        model = engine.prepare()
        observer.model_loaded(model)
        pairing = find_run_pairs(config)
        observer.pairs_found(pairing)
        pairs = select_pairs(pairing, config)
        if len(pairs) < len(pairing.pairs):
            observer.tiles_selected(len(pairs), len(pairing.pairs))
        facts = facts_of_run(model, config, command, part_of(pairs, config))
        with RunSession.open(
            config.output_dir,
            facts,
            pairs,
            existing=config.existing,
            retry_failed=config.retry_failed,
        ) as session:
            if warning := disk_warning(session.plan.to_do, config):
                observer.warned(warning)
            observer.tiles_planned(session.plan)
            limit = config.failure_limit(len(pairs))
            count = OutcomeCounter(observer, limit, self._stop)
            engine.process(session, count, len(pairing.pairs))
            return self._finish(session, count)

    def _finish(self, session: RunSession, count: OutcomeCounter) -> RunResult:
        config = self._config
        is_unfinished = count.n_done < len(session.plan.to_do)
        is_over_limit = is_unfinished and count.is_over_limit
        is_interrupted = is_unfinished and not is_over_limit
        has_reports = config.statistics and session.part is None
        summary = session.write_summary() if has_reports else session.summary()
        if not config.statistics and count.n_done:
            remove_reports(config.output_dir)
        exit_code = EXIT_TILES_FAILED if summary["failed"] else 0
        state: EndState = "failed" if is_over_limit else "finished"
        if is_interrupted:
            exit_code, state = self._interruption.exit_code, "interrupted"
        session.close(state, exit_code)
        if config.statistics and session.part is not None:
            digest = session.manifest.configuration_digest
            has_reports = merge_if_last(config.output_dir, session.part, digest)
        return RunResult(
            summary=summary,
            failed_tiles=tuple(FailedTileRecord(**entry) for entry in summary["failed_tiles"]),
            exit_code=exit_code,
            is_interrupted=is_interrupted,
            is_over_failure_limit=is_over_limit,
            n_left_out=session.plan.n_left_out,
            output_dir=config.output_dir,
            summary_path=config.output_dir / SUMMARY_NAME if has_reports else None,
            statistics_path=statistics_path(config.output_dir) if has_reports else None,
        )
