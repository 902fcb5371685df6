"""What somebody chooses by is validation; TEST stays in the results."""

from covidjax.cli import sweep_table

FIGURE = {"value": 0.9, "ci95": [0.8, 0.95], "n": 100}


def rows(fields):
    return [
        {"point": f"p{n}", "state": "finished", **swept, "error": "", "experiment": "classify",
         "validation/auroc": 0.91 + n / 100, "test/auroc": 0.55 + n / 100}
        for n, swept in enumerate(fields)
    ]  # fmt: skip


def test_a_sweep_over_settings_shows_validation_alone():
    fields = [{"data.size": 32, "seed": 0}, {"data.size": 64, "seed": 0}]
    text = sweep_table.text(rows(fields), fields)
    assert "validation/auroc" in text and "0.920" in text
    assert "test/auroc" not in text and "0.55" not in text
    written = sweep_table.without_tests(rows(fields))
    assert not any(name.startswith("test/") for row in written for name in row)
    assert written[1]["validation/auroc"] == 0.92 and written[1]["data.size"] == 64


def test_a_sweep_over_seeds_or_folds_reports_what_was_tested():
    for name in ("seed", "fold"):
        fields = [{name: 0}, {name: 1}, {name: 2}]
        assert not sweep_table.chooses(fields)
        text = sweep_table.text(rows(fields), fields)
        assert "test/auroc" in text and "validation/auroc" not in text
    assert "test/auroc: 0.560 ± 0.010 over 3 seeds" in sweep_table.text(
        rows([{"seed": n} for n in range(3)]), [{"seed": n} for n in range(3)]
    )
