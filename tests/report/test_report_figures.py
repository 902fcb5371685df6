"""The runs' figures: those that there are, captioned with run, data and sample; one over all."""

import made_runs
from PIL import Image

from covidjax.report import figures, words
from covidjax.report.collect import collect


def test_a_runs_figures_are_found_captioned_and_whole(tmp_path) -> None:
    folder = made_runs.classify(tmp_path / "a_run", phantom=True)
    (folder / "figures" / "training.png").write_bytes(b"\x89PNG\r\n")  # cut off
    (folder / "figures" / "folds.png").write_text("no picture")
    made_runs.write_png(folder / "figures" / "other.png")
    [run] = collect([str(folder)])
    [roc] = figures.of_run(run, figures.CLASSIFY, 5)
    assert roc.name == "a_run-roc" and roc.caption.startswith("PHANTOM. ROC curves")
    assert "Run a_run (pneumonia of any cause against normal, CNN at 64 px, n = 624)" in roc.caption
    assert roc.alt.startswith("PHANTOM.") and len(roc.alt) > 40


def test_the_kind_of_noise_stands_in_the_caption(tmp_path) -> None:
    [run] = collect([str(made_runs.denoise(tmp_path / "dae"))])
    [psnr] = figures.of_run(run, figures.DENOISE, 5)
    assert "gaussian noise" in psnr.caption


def test_no_more_than_asked_for_are_taken(tmp_path) -> None:
    folder = made_runs.classify(tmp_path / "a")
    made_runs.write_png(folder / "figures" / "training.png")
    [run] = collect([str(folder)])
    for most in (0, 1, 2):
        assert len(figures.of_run(run, figures.CLASSIFY, most)) == most


def test_a_run_without_figures_has_none(tmp_path) -> None:
    [run] = collect([str(made_runs.dip(tmp_path / "dip"))])
    assert figures.of_run(run, figures.DIP, 5) == []


def test_names_of_files_are_safe_and_stay_apart() -> None:
    assert words.safe("cnn-20261124-1_b") == "cnn-20261124-1_b"
    made = {words.safe(name) for name in ("a b", "a/b", "a-b", "..", "é")}
    assert len(made) == 5 and all(name.isascii() and "/" not in name for name in made)


def test_all_classifiers_are_drawn_with_their_intervals(tmp_path) -> None:
    made_runs.classify(tmp_path / "a", 0.97, border=0.96)
    made_runs.classify(tmp_path / "b", 0.9)
    made_runs.classify(tmp_path / "c", 0.45, phantom=True)
    runs = collect([f"{tmp_path}/?"])
    assert figures.draw(runs[:1], tmp_path / "drawn") == []
    [figure] = figures.draw(runs, tmp_path / "drawn")  # one phantom is not drawn, nor among these
    assert figure.caption.startswith("AUROC of all 2 classifiers") and "Hollow" in figure.caption
    with Image.open(figure.png) as image:
        assert image.width > 600
    made_runs.classify(tmp_path / "d", 0.5, phantom=True)
    _, phantom = figures.draw(collect([f"{tmp_path}/?"]), tmp_path / "drawn")
    assert phantom.caption.startswith("PHANTOM. AUROC of all 2") and phantom.png != figure.png
