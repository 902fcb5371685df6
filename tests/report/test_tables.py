"""Tables: bold only where intervals part, PHANTOM where data are synthetic, all digits as CSV."""

import made_runs
import pytest

from covidjax.report import tables, tables_classify, tables_denoise, tables_runs
from covidjax.report.collect import collect
from covidjax.report.markdown import Cell, md, plain
from covidjax.report.tables import Column, Row, best_of, compared


def fig(value, low=None, high=None):
    return {"value": value, "ci95": None if low is None else [low, high], "n": 10}


@pytest.mark.parametrize(
    ("figures", "larger", "best"),
    [
        ([fig(0.9, 0.88, 0.92), fig(0.8, 0.7, 0.87)], True, 0),
        ([fig(0.9, 0.88, 0.92), fig(0.8, 0.7, 0.88)], True, None),  # they touch
        ([fig(0.1, 0.08, 0.12), fig(0.2, 0.15, 0.25)], False, 0),
        ([fig(0.1, 0.08, 0.16), fig(0.2, 0.15, 0.25)], False, None),
        ([fig(0.9, 0.88, 0.92), fig(0.8, 0.7, 0.87), fig(0.85, 0.8, 0.95)], True, None),
        ([fig(0.9, 0.88, 0.92), fig(0.8)], True, None),  # one interval is not known
        ([fig(0.9, 0.88, 0.92), fig(None)], True, None),
        ([fig(0.9, 0.88, 0.92), None], True, None),  # nothing to compare with
        ([None, fig(0.9, 0.88, 0.92), fig(0.8, 0.7, 0.87)], True, 1),
        ([fig(0.9, 0.88, 0.92)], True, None),
        ([fig(0.9, 0.88, 0.92), fig(0.8, 0.7, 0.87)], None, None),
        ([], True, None),
    ],
)
def test_the_best_is_the_one_whose_interval_parts_from_all_others(figures, larger, best) -> None:
    assert best_of(figures, larger) == best


def bold(grid) -> set[str]:
    texts = [cell.text for row in grid.rows for cell in row if isinstance(cell, Cell)]
    return {text.strip("*") for text in texts if text.startswith("**")}


def test_a_table_marks_and_explains_its_best() -> None:
    rows = [Row(("a",), {"x": fig(0.9, 0.88, 0.92)}), Row(("b",), {"x": fig(0.8, 0.7, 0.8)})]
    grid = compared("t", md("About."), ("run",), rows, [Column("x", "X"), Column("y", "Y")])
    assert bold(grid) == {"0.900 [0.880, 0.920]"} and tables.BOLD_RULE in plain(grid.caption)
    assert grid.columns == ("run", "X")
    none = compared("t", md("About."), ("run",), rows[:1] * 2, [Column("x", "X")])
    assert bold(none) == set() and "intervals overlap" in plain(none.caption)


def test_the_csv_has_all_digits_and_says_phantom() -> None:
    rows = [Row(("a",), {"x": fig(0.123456789, 0.1, 0.2)}, (), True)]
    grid = compared("t", md("About."), ("run",), rows, [Column("x", "X")])
    assert grid.frame is not None and grid.frame.loc[0, "x"] == 0.123456789
    assert list(grid.frame["data"]) == ["PHANTOM"]
    assert plain(grid.caption).startswith("PHANTOM.")


@pytest.mark.parametrize(
    ("figure", "digits", "text"),
    [(fig(0.9744, 0.9612, 0.9849), 3, "0.974 [0.961, 0.985]"), (fig(32.7, 32.64, 32.86), 2,
     "32.70 [32.64, 32.86]"), (fig(-0.0004, -0.01, 0.0), 3, "0.000 [-0.010, 0.000]"),
     (fig(None), 3, "undefined"), (None, 3, ""), (fig(0.5), 1, "0.5")],
)  # fmt: skip
def test_figures_are_written_with_their_interval(figure, digits, text) -> None:
    assert tables.shown(figure, digits) == text


def test_real_and_phantom_runs_are_never_in_one_comparison(tmp_path) -> None:
    made_runs.all_kinds(tmp_path)
    runs = [run for run in collect([f"{tmp_path}/*"]) if run.experiment == "classify"]
    grids = tables_classify.results([run for run in runs if run.state == "finished"])
    for grid in grids:
        marked = plain(grid.caption).startswith("PHANTOM")
        assert marked == any(plain(row[0].text) == "phantom" for row in grid.rows)
    assert sum(grid.phantom for grid in grids) == 2


def test_an_auroc_that_the_border_reaches_is_struck_and_never_bold(tmp_path) -> None:
    made_runs.classify(tmp_path / "a", 0.98, border=0.97)
    made_runs.classify(tmp_path / "b", 0.8)
    first, *_ = tables_classify.results(collect([f"{tmp_path}/*"]))
    cell = first.rows[0][3]
    assert isinstance(cell, Cell) and cell.text == "~~0.980 [0.970, 0.990]~~"
    assert bold(first) == set() and "Struck through" in plain(first.caption)


def test_runs_that_differ_in_the_seed_alone_are_averaged(tmp_path) -> None:
    for seed, auroc in ((0, 0.97), (1, 0.99), (2, 0.98)):
        made_runs.classify(tmp_path / f"a{seed}", auroc, seed=seed)
    made_runs.classify(tmp_path / "again", 0.5, seed=2)  # a seed counts once
    [grid] = tables_classify.seeds(collect([f"{tmp_path}/a?"]))
    assert [plain(cell.text) for cell in grid.rows[0][2:4]] == ["3", "0.980 ± 0.010"]
    [grid] = tables_classify.seeds(collect([f"{tmp_path}/*"]))
    assert plain(grid.rows[0][2].text) == "3"


def test_denoisers_are_bold_where_they_part_from_the_others(tmp_path) -> None:
    made_runs.denoise(tmp_path / "a")
    psnr, gmsd, *_ = tables_denoise.denoising(collect([str(tmp_path / "a")]))
    assert bold(psnr) == {"32.75 [32.65, 32.85]"}  # at 25, and not at 50
    assert bold(gmsd) == {"0.050 [0.049, 0.051]"}  # smaller is better


@pytest.mark.parametrize("count", [2, 7])
def test_audits_and_settings_have_every_run_whichever_way_they_lie(tmp_path, count) -> None:
    for n in range(count):
        made_runs.classify(tmp_path / f"run-{n}", 0.9 + n / 1000, border=0.7 + n / 1000, seed=n)
    runs = collect([f"{tmp_path}/*"])
    [probes] = tables_classify.audits(runs)
    [settings] = tables_runs.settings(runs)
    for grid, last in ((probes, f"{0.7 + (count - 1) / 1000:.3f}"), (settings, str(count - 1))):
        head = {*grid.columns, *(plain(row[0].text) for row in grid.rows)}
        assert {run.name for run in runs} <= head
        assert any(last in plain(cell.text) for row in grid.rows for cell in row)
