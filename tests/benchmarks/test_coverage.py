"""The table in docs/statistics.md is what the script computes, and the intervals cover."""

import re
from pathlib import Path

import numpy as np
import pytest

from benchmarks import coverage
from benchmarks.coverage import Cell, covered, grid, shown, simulate, truth

PAGE = Path("docs/statistics.md").read_text(encoding="utf-8")
FEW = 300


def test_the_pages_row_is_computed_again_to_the_last_digit():
    cell = Cell(20, coverage.NEGATIVES, 0.95, 1)
    row = re.search(r"^\| 20 \| (.*) \|$", PAGE, re.MULTILINE).group(1).split(" | ")
    assert shown(covered("reported", cell, 2000)["AUROC"]) == row[coverage.AUROCS.index(0.95)]


def test_the_page_has_every_cell_of_the_grid_and_none_below_93_percent():
    tables = PAGE[PAGE.index("AUROC, one image a group") :]
    rows = re.findall(r"^\| (\d+) \| (.*) \|$", tables, re.MULTILINE)
    assert len(rows) == len(coverage.POSITIVES) * len(coverage.CLUSTERS)
    cells = [cell for _, row in rows for cell in row.split(" | ")]
    assert len(cells) == len(list(grid())) - 1
    assert all(float(cell.split(" ")[0].strip("*")) >= 93 for cell in cells), cells


@pytest.mark.parametrize("cell", [Cell(30, 90, 0.93, 3), Cell(15, 400, 0.99, 1)])
def test_sizes_that_are_not_on_the_page_are_covered_too(cell):
    assert covered("reported", cell, FEW)["AUROC"][0] >= 0.92


@pytest.mark.parametrize("cell", [Cell(50, 200, 0.95, 1), Cell(50, 200, 0.95, 5)])
def test_the_other_figures_are_covered(cell):
    for name, (share, _) in covered("figures", cell, FEW).items():
        assert share >= 0.9 or np.isnan(share) and name == "brier", name


def test_the_true_values_are_those_of_a_large_data_set():
    cell = Cell(40_000, 60_000, 0.93, 1)
    data = simulate(cell, np.random.default_rng(0))
    found = coverage.all_figures(cell, data)
    values = truth(cell)
    assert set(found) == set(values) - {"AUROC"}
    for name, estimate in found.items():
        assert estimate.value == pytest.approx(values[name], rel=0.03), name
