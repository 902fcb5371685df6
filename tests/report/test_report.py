"""The report as an experiment: its files, what a second run keeps, what it refuses."""

import json
import re
from pathlib import Path

import made_runs
import ml_collections
import pytest

from configs import report as report_config
from covidjax.report import experiment as report


def config(runs: object, **fields) -> ml_collections.ConfigDict:
    found = report_config.get_config()
    found.update({"runs": str(runs), **fields})
    return found.lock()


def edit(path: Path, key: str, text: str) -> None:
    """Writes into an author block."""
    found = path.read_text()
    changed = re.sub(
        rf"(<!-- author {key} \w+ -->).*?(<!-- /author {key} -->)",
        lambda block: f"{block[1]}\n{text}\n{block[2]}",
        found,
        flags=re.DOTALL,
    )
    assert changed != found
    path.write_text(changed)


@pytest.fixture
def home(tmp_path) -> Path:
    made_runs.all_kinds(tmp_path / "runs")
    return tmp_path


def write(home: Path, **fields) -> dict:
    return report.run(config(f"{home}/runs/*", **fields), home / "report")


def test_every_file_is_there_and_results_follow_the_contract(home) -> None:
    found = write(home)
    folder = home / "report"
    assert found == json.loads((folder / "results.json").read_text())
    assert (found["experiment"], found["data"], found["splits"]) == ("report", "phantom", {})
    assert found["warning"].startswith("PHANTOM") and found["seconds"] >= 0
    assert set(found["runs"]) == {"cnn-0", "cnn-1", "weak", "phantom", "dae", "dip", "tune", "eda"}
    assert set(found["left_out"]) == {"going", "damaged", "empty"}
    text = (folder / "report.md").read_text()
    assert text.count("](tables/") > 10
    for name in re.findall(r"\]\((tables/[\w-]+\.csv)\)", text):
        assert (folder / name).is_file()
    for name in re.findall(
        r"\\includegraphics\[.*?\]\{(.*?)\}", (folder / "report.tex").read_text()
    ):
        assert (folder / name).read_bytes().startswith(b"\x89PNG")
    assert (folder / "settings" / "cnn-0.json").is_file()
    assert not list(folder.rglob("*.tmp"))


def test_tables_with_phantoms_say_so_in_every_row(home) -> None:
    write(home)
    rows = (home / "report" / "tables" / "dip-1.csv").read_text().splitlines()
    assert all(row.endswith(",PHANTOM") for row in rows[1:]) and rows[0].endswith(",data")


def test_pictures_are_inside_of_the_page_and_linked_from_the_markdown(home) -> None:
    write(home)
    folder = home / "report"
    html, text = (folder / "report.html").read_text(), (folder / "report.md").read_text()
    linked = re.findall(r"^!\[.*\]\((.*)\)$", text, re.MULTILINE)
    assert len(set(linked)) == len(linked) > 5 and "base64" not in text
    assert all((folder / name).read_bytes().startswith(b"\x89PNG") for name in linked)
    assert html.count("<figure ") == len(linked)
    assert re.findall(r'(?:src|href)="(?!data:|#|tables/)[^"]*"', html) == []


def test_the_same_runs_give_the_same_report(home) -> None:
    write(home)
    first = {n: (home / "report" / n).read_bytes() for n in report.NAMES}
    write(home)
    assert first == {n: (home / "report" / n).read_bytes() for n in report.NAMES}
    assert not list((home / "report").glob("*.backup-*"))


def test_a_second_run_keeps_what_a_person_wrote_and_takes_new_runs(home) -> None:
    write(home)
    path = home / "report" / "report.md"
    edit(path, "question", "Is it *so*? 100 % & <b>more</b>")
    edit(path, "claim-44", "No funding.")
    made_runs.classify(home / "runs" / "new", 0.123)
    found = write(home)
    assert found["author_blocks"]["written"] == ["claim-44", "question"]
    assert not list(path.parent.glob("*.backup-*"))
    text, html, tex = (path.with_name(name).read_text() for name in report.NAMES[:3])
    assert "Is it *so*? 100 % & <b>more</b>" in text and "0.123" in text
    assert "Is it <em>so</em>? 100 % &amp; &lt;b&gt;more&lt;/b&gt;" in html and "0.123" in html
    assert r"\textless b\textgreater more" in tex and r"\emph{so}? 100 \% \&" in tex
    for one in (text, html, tex):
        assert "No funding." in one
    write(home)
    assert path.read_text() == text


def test_a_text_whose_place_is_gone_is_kept_and_comes_back(home) -> None:
    alone, both = f"{home}/runs/cnn-0", f"{home}/runs/cnn-0,{home}/runs/eda"
    path = home / "report" / "report.md"
    report.run(config(alone), path.parent)
    edit(path, "tripod-11", "Missing values were few.")
    for runs, place in ((both, "## Kept"), (both, "## Kept"), (alone, "| 11 | Missing data | ")):
        report.run(config(runs), path.parent)
        _, _, behind = path.read_text().partition(place)
        assert "Missing values were few." in behind
        assert path.read_text().count("Missing values were few.") == 1


def test_what_was_changed_elsewhere_is_copied_first(home, capsys) -> None:
    write(home)
    folder = home / "report"
    for name in report.NAMES:
        path = folder / name
        data = path.read_bytes()
        path.write_bytes(data.replace(b"Limitations", b"My limits") + b"\n")
    write(home)
    for name in report.NAMES[:3]:
        stem, _, ending = name.partition(".")
        assert "My limits" in (folder / f"{stem}.backup-1.{ending}").read_text()
        assert "My limits" not in (folder / name).read_text()
    assert "backup-1" in capsys.readouterr().err
    write(home)
    assert len(list(folder.glob("*.backup-*"))) == len(report.NAMES)


def test_without_the_last_results_everything_is_copied(home) -> None:
    write(home)
    (home / "report" / "results.json").write_text("{")
    write(home)
    assert len(list((home / "report").glob("*.backup-1.*"))) == len(report.NAMES)


def test_a_broken_author_mark_is_refused_and_nothing_is_written(home) -> None:
    write(home)
    path = home / "report" / "report.md"
    path.write_text(path.read_text().replace("<!-- /author question -->", ""))
    before = {p: p.read_bytes() for p in path.parent.rglob("*") if p.is_file()}
    with pytest.raises(ValueError, match="question") as caught:
        write(home)
    assert "\n" not in str(caught.value)
    assert before == {p: p.read_bytes() for p in path.parent.rglob("*") if p.is_file()}


def test_a_folder_of_something_else_is_left_alone(home) -> None:
    for folder in (home / "runs" / "cnn-0", home / "runs"):
        before = sorted(folder.rglob("*"))
        with pytest.raises(ValueError, match="no report"):
            report.run(config(f"{home}/runs/*"), folder)
        assert before == sorted(folder.rglob("*"))


def test_a_report_among_the_runs_is_no_run(home) -> None:
    found = report.run(config(f"{home}/runs/*"), home / "runs" / "report")
    assert "report" not in found["runs"] and "report" not in found["left_out"]
    other = report.run(config(f"{home}/runs/*"), home / "elsewhere")
    assert "report" not in other["runs"] and "report" not in other["left_out"]


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"runs": " , "}, "config.runs"),
        ({"port": 70000}, "config.port"),
        ({"figures": -1}, "config.figures"),
    ],
)
def test_mistakes_are_one_line_and_write_nothing(tmp_path, fields, says) -> None:
    with pytest.raises(ValueError, match=says) as caught:
        report.run(config(**{"runs": "x", **fields}), tmp_path / "report")
    assert "\n" not in str(caught.value) and not (tmp_path / "report").exists()
