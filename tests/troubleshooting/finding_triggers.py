"""For each kind of finding, a situation in which it must be made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from axion_stage3.inspection.tile_checks import CheckOptions
from axion_stage3.tiles.tile_loading import LoadOptions

if TYPE_CHECKING:
    from collections.abc import Callable

    from inspection_bench import Bench

    from axion_stage3.inspection.finding_record import FindingRecord

LINEAR = CheckOptions(load=LoadOptions(s1_units="linear"))


def truncated(bench: Bench) -> list[FindingRecord]:
    bench.write()
    path = next(bench.opt_v2_dir.iterdir())
    path.write_bytes(path.read_bytes()[:-200])
    return bench.findings()


def unknown_keys(bench: Bench) -> list[FindingRecord]:
    bench.write({"image": bench.opt_v2})
    return bench.findings()


def three_bands(bench: Bench) -> list[FindingRecord]:
    bench.write(bench.opt_v2[:3])
    return bench.findings()


def batch_axis(bench: Bench) -> list[FindingRecord]:
    bench.write(bench.opt_v2[np.newaxis])
    return bench.findings()


def uneven_bands(bench: Bench) -> list[FindingRecord]:
    bench.write(s1={"vv": bench.s1[0], "vh": bench.s1[1, ::2, ::2]})
    return bench.findings()


def too_small(bench: Bench) -> list[FindingRecord]:
    bench.write(bench.opt_v2[:, :12, :12], bench.s1[:, :12, :12])
    return bench.findings()


def sizes_differ(bench: Bench) -> list[FindingRecord]:
    bench.write(s1=bench.s1[:, :-4])
    return bench.findings()


def complex_numbers(bench: Bench) -> list[FindingRecord]:
    bench.write(s1=bench.s1.astype(np.complex64))
    return bench.findings()


def big_endian(bench: Bench) -> list[FindingRecord]:
    bench.write(bench.opt_v2.astype(">f4"))
    return bench.findings()


def doubles(bench: Bench) -> list[FindingRecord]:
    bench.write(bench.opt_v2.astype(np.float64))
    return bench.findings()


def foreign_key(bench: Bench) -> list[FindingRecord]:
    bench.write({"opt_v2": bench.opt_v2, "tile_id": np.arange(3)})
    return bench.findings()


def oversized_key(bench: Bench) -> list[FindingRecord]:
    bench.write(s1={"s1": bench.s1, "raw_burst": np.zeros((4, 512, 512), np.float32)})
    return bench.findings()


def two_layouts(bench: Bench) -> list[FindingRecord]:
    bench.write(s1={"s1": bench.s1, "vv": bench.s1[0], "vh": bench.s1[1]})
    return bench.findings()


def no_partner(bench: Bench) -> list[FindingRecord]:
    bench.write()
    bench.write(name="tile_002.npz")
    (bench.s1_dir / "tile_002.npz").rename(bench.s1_dir / "tile_02.npz")
    return bench.findings()


def link_out_of_the_folder(bench: Bench) -> list[FindingRecord]:
    bench.write()
    elsewhere = bench.root / "elsewhere.npz"
    elsewhere.write_bytes((bench.s1_dir / "tile_001.npz").read_bytes())
    (bench.s1_dir / "tile_002.npz").symlink_to(elsewhere)
    return bench.findings()


def half_a_georeference(bench: Bench) -> list[FindingRecord]:
    bench.write(s1={"s1": bench.s1, "crs": np.array("EPSG:32633")})
    return bench.findings()


def places_differ(bench: Bench) -> list[FindingRecord]:
    place = {"crs": np.array("EPSG:32633"), "transform": np.array([10.0, 0, 0, 0, -10, 0])}
    elsewhere = {**place, "transform": np.array([10.0, 0, 960, 0, -10, 0])}
    bench.write({"opt_v2": bench.opt_v2, **place}, {"s1": bench.s1, **elsewhere})
    return bench.findings()


def nan_corner(bench: Bench) -> list[FindingRecord]:
    bench.opt_v2[1, :9, :9] = np.nan
    bench.write()
    return bench.findings()


def all_zero(bench: Bench) -> list[FindingRecord]:
    bench.write(np.zeros_like(bench.opt_v2))
    return bench.findings()


def constant_band(bench: Bench) -> list[FindingRecord]:
    bench.opt_v2[3] = 0.25
    bench.write()
    return bench.findings()


def wild_pixel(bench: Bench) -> list[FindingRecord]:
    bench.opt_v2[2, 5, 5] = 40
    bench.write()
    return bench.findings()


def clipped(bench: Bench) -> list[FindingRecord]:
    bench.write(s1=np.minimum(bench.s1, np.percentile(bench.s1, 90)))
    return bench.findings()


def outside_training_range(bench: Bench) -> list[FindingRecord]:
    bench.write()
    return bench.findings(CheckOptions(training_ranges={"nir": (0.6, 0.8)}))


def no_data_border(bench: Bench) -> list[FindingRecord]:
    for row in range(SLANT_ROWS):
        bench.s1[:, row, : SLANT_ROWS - row] = 0
    bench.write()
    return bench.findings()


SLANT_ROWS = 20


def stripes(bench: Bench) -> list[FindingRecord]:
    bench.s1[:, :, ::4] += 2.5
    bench.write()
    return bench.findings()


def dead_lines(bench: Bench) -> list[FindingRecord]:
    bench.opt_v2[:, 40:42] = 0
    bench.write()
    return bench.findings()


def digital_numbers(bench: Bench) -> list[FindingRecord]:
    bench.write((bench.opt_v2 * 10000).astype(np.uint16))
    return bench.findings()


def normalised_optical(bench: Bench) -> list[FindingRecord]:
    bench.write((bench.opt_v2 - bench.opt_v2.mean()) / bench.opt_v2.std())
    return bench.findings()


def duplicated_bands(bench: Bench) -> list[FindingRecord]:
    bench.opt_v2[2] = bench.opt_v2[1]
    bench.write()
    return bench.findings()


def cloud(bench: Bench) -> list[FindingRecord]:
    bench.opt_v2[:, 20:60, 20:60] += 0.5
    bench.write()
    return bench.findings()


def linear_radar(bench: Bench) -> list[FindingRecord]:
    bench.write(s1=10 ** (bench.s1 / 10))
    return bench.findings()


def db_announced_as_linear(bench: Bench) -> list[FindingRecord]:
    bench.write()
    return bench.findings(LINEAR)


def normalised_radar(bench: Bench) -> list[FindingRecord]:
    bench.write(s1=(bench.s1 - bench.s1.mean()) / bench.s1.std())
    return bench.findings()


def swapped_polarisations(bench: Bench) -> list[FindingRecord]:
    bench.write(s1=bench.s1[::-1])
    return bench.findings()


def equal_polarisations(bench: Bench) -> list[FindingRecord]:
    bench.write(s1=bench.s1[[0, 0]])
    return bench.findings()


def shifted(bench: Bench) -> list[FindingRecord]:
    bench.write(bench.opt_v2[:, :-9, 9:], bench.s1[:, 9:, :-9])
    return bench.findings()


def another_place(bench: Bench) -> list[FindingRecord]:
    bench.write(bench.opt_v2[:, ::-1].swapaxes(1, 2))
    return bench.findings()


def unchanged_output(bench: Bench) -> list[FindingRecord]:
    bench.run(bench.opt_v2)
    return bench.run_findings()


def blurred_output(bench: Bench) -> list[FindingRecord]:
    wide = np.pad(bench.opt_v2, ((0, 0), (2, 2), (2, 2)), mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(wide, (5, 5), axis=(1, 2))
    bench.run(windows.mean(axis=(3, 4), dtype=np.float32))
    return bench.run_findings()


def noisy_output(bench: Bench) -> list[FindingRecord]:
    noise = np.random.default_rng(0).normal(0, 0.03, bench.opt_v2.shape)
    bench.run((bench.opt_v2 + noise).astype(np.float32))
    return bench.run_findings()


def other_alias(bench: Bench) -> list[FindingRecord]:
    bench.write_output({"opt_final": bench.truth, "opt_v3": bench.opt_v2})
    return bench.run_findings()


def _rewrite(bench: Bench, opt_final: np.ndarray[Any, Any]) -> None:
    np.savez(bench.output_dir / "tile_001.npz", opt_final=opt_final, opt_v3=opt_final)


def other_statistics(bench: Bench) -> list[FindingRecord]:
    bench.run(bench.truth)
    _rewrite(bench, bench.truth * np.float32(1.1))
    return bench.run_findings()


def failed_tile(bench: Bench) -> list[FindingRecord]:
    bench.run(None)
    return bench.run_findings()


def missing_output(bench: Bench) -> list[FindingRecord]:
    bench.run(bench.truth)
    (bench.output_dir / "tile_001.npz").unlink()
    return bench.run_findings()


def changed_output(bench: Bench) -> list[FindingRecord]:
    bench.run(bench.truth)
    _rewrite(bench, bench.truth)
    return bench.run_findings()


def foreign_output(bench: Bench) -> list[FindingRecord]:
    bench.run(bench.truth)
    (bench.output_dir / "stray.npz").write_bytes((bench.output_dir / "tile_001.npz").read_bytes())
    return bench.run_findings()


TRIGGERS: dict[str, Callable[[Bench], list[FindingRecord]]] = {
    "AX-T001": truncated,
    "AX-T002": unknown_keys,
    "AX-T003": three_bands,
    "AX-T004": batch_axis,
    "AX-T005": uneven_bands,
    "AX-T006": too_small,
    "AX-T007": sizes_differ,
    "AX-T008": complex_numbers,
    "AX-T009": big_endian,
    "AX-T010": doubles,
    "AX-T011": foreign_key,
    "AX-T012": oversized_key,
    "AX-T013": two_layouts,
    "AX-T014": no_partner,
    "AX-T015": link_out_of_the_folder,
    "AX-T016": half_a_georeference,
    "AX-T017": places_differ,
    "AX-T020": nan_corner,
    "AX-T021": all_zero,
    "AX-T022": constant_band,
    "AX-T023": wild_pixel,
    "AX-T024": clipped,
    "AX-T025": outside_training_range,
    "AX-T026": no_data_border,
    "AX-T027": stripes,
    "AX-T028": dead_lines,
    "AX-T030": digital_numbers,
    "AX-T031": normalised_optical,
    "AX-T032": duplicated_bands,
    "AX-T033": cloud,
    "AX-T040": linear_radar,
    "AX-T041": db_announced_as_linear,
    "AX-T042": normalised_radar,
    "AX-T043": swapped_polarisations,
    "AX-T044": equal_polarisations,
    "AX-T050": shifted,
    "AX-T051": another_place,
    "AX-T060": unchanged_output,
    "AX-T061": blurred_output,
    "AX-T062": noisy_output,
    "AX-T063": other_alias,
    "AX-T064": other_statistics,
    "AX-T065": failed_tile,
    "AX-T066": missing_output,
    "AX-T067": changed_output,
    "AX-T068": foreign_output,
}
