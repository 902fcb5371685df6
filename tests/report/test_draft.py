"""The draft of one run of each kind: every figure is of a run, and marked as it must be."""

import csv
import dataclasses
import json
import re
from pathlib import Path

import made_runs
import pytest

from covidjax.data.augment import Augmentation
from covidjax.report import collect, draft, facts, words, writer
from covidjax.report.markdown import Cell, plain


def compose(home: Path) -> draft.Draft:
    runs, others = draft.usable(collect.collect([f"{home}/*"]))
    return draft.compose(runs, others, [])


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    return made_runs.all_kinds(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def made(home) -> draft.Draft:
    return compose(home)


def test_the_text_names_every_augmentation_that_a_run_has_and_none_that_is_off(tmp_path) -> None:
    folder = made_runs.all_kinds(tmp_path) / "cnn-0"
    about = json.loads((folder / "config.json").read_text())
    strengths = dataclasses.asdict(Augmentation())
    assert facts.AUGMENTED.keys() == strengths.keys()

    def text(**changes: float) -> str:
        about["config"]["augment"] = strengths | changes
        (folder / "config.json").write_text(json.dumps(about))
        return facts.augmentations(collect.collect([str(folder)]))

    found = text(erase=0.35, noise=0.0625)
    for name, value in (strengths | {"erase": 0.35, "noise": 0.0625}).items():
        assert facts.AUGMENTED[name].replace(f"{{{name}}}", words.number(value)) in found
    assert "one rectangle with sides of up to 0.35 of the image's set to its mean" in found
    assert "noise" not in text(noise=0.0)
    assert text(**dict.fromkeys(strengths, 0.0)) == ""


def test_the_text_counts_the_looks_at_test(tmp_path) -> None:
    home = made_runs.all_kinds(tmp_path)
    runs = [run for run in collect.collect([f"{home}/*"]) if run.setting("split") == "official"]
    one, two = (draft.compose(some, [], []).text for some in (runs[:1], [runs[0], runs[0]]))
    assert "have looked at it once" in one and "have looked at it 2 times" in two
    found = [path.read_text() for path in Path(home).rglob("results.json")]
    tested = ['"test": {' in text for text in found]
    assert sum(tested) > 2  # denoisers and priors have looked too
    assert all(f"in the same folders, {sum(tested)} have" in text for text in (one, two))


def test_the_sections_are_those_of_a_paper(made) -> None:
    assert re.findall(r"^## (.*)$", made.text, re.MULTILINE) == [
        "Question", "Data", "Methods", "Results", "Shortcut audit", "Calibration", "Figures",
        "Limitations", "Reproducibility", "References", "Checklists",
    ]  # fmt: skip


def test_tables_figures_and_citations_are_numbered_in_the_order_of_the_text(made) -> None:
    for what, found in (("Table", made.tables), ("Figure", made.figures)):
        numbers = re.findall(rf"^\*\*{what} (\d+)\.\*\*", made.text, re.MULTILINE)
        assert list(map(int, numbers)) == list(range(1, len(found) + 1))
    body, _, rest = made.text.partition("## References\n")
    entries = re.findall(r"^(\d+)\. ", rest.partition("## ")[0], re.MULTILINE)
    groups = re.findall(r" \[([1-9]\d*(?:, \d+)*)\]", body)
    cited = [number for group in groups for number in group.split(", ")]
    assert list(dict.fromkeys(cited)) == entries[: len(set(cited))]
    assert entries == [str(n) for n in range(1, len(entries) + 1)]


def test_links_lead_to_sections(made) -> None:
    titles = re.findall(r"^## (.*)$", made.text, re.MULTILINE)
    links = set(re.findall(r"\]\(#([\w-]+)\)", made.text))
    assert links and links <= {writer.slug(title) for title in titles}


def test_phantoms_are_marked_in_title_tables_and_figures(home, made) -> None:
    assert made.title.startswith("Partly PHANTOM: ") and "PHANTOM" in made.warning
    for name, grid in made.tables.items():
        text = " ".join(plain(c.text) for r in grid.rows for c in r if isinstance(c, Cell))
        if re.search(r"\b(phantom|dip|tune)\b", text) and name != "others":
            assert grid.caption.startswith("**PHANTOM.**"), name
    for figure in made.figures.values():
        if "Run phantom" in figure.caption:
            assert figure.caption.startswith("PHANTOM.")
    only = draft.compose(collect.collect([f"{home}/phantom"]), [], [])
    assert only.title.startswith("PHANTOM: ") and "every image is synthetic" in only.warning
    real = draft.compose(collect.collect([f"{home}/cnn-0"]), [], [])
    assert "PHANTOM" not in real.title + real.text


def test_what_is_not_finished_is_listed_with_its_reason(made) -> None:
    grid = made.tables["others"]
    found = {plain(row[0].text): [plain(cell.text) for cell in row[1:]] for row in grid.rows}
    assert set(found) == {"going", "damaged", "empty"}
    assert found["going"][0] == "unfinished" and "step 5" in found["going"][2]
    assert found["damaged"][0] == "damaged"


def test_every_reference_is_cited_by_a_template(made) -> None:
    templates = Path(draft.__file__).parent / "templates"
    text = "".join(path.read_text() for path in templates.glob("*.j2"))
    keys = {
        key for call in re.findall(r"cite\(([^)]*)\)", text) for key in re.findall(r'"(\w+)"', call)
    }
    assert keys == set(writer.references())
    assert all(len(entry) > 40 for entry in writer.references().values())


def test_the_checklists_are_whole_and_answered_by_facts_that_there_are(made, tmp_path) -> None:
    rows = {key: made.tables[f"checklist-{key}"].rows for key in ("tripod", "claim")}
    claim, tripod = ([row[0].text for row in rows[key]] for key in ("claim", "tripod"))
    assert claim == [str(number) for number in range(1, 45)]
    assert len(tripod) == len(set(tripod)) == 52
    assert sorted({int(re.sub(r"\D", "", number)) for number in tripod}) == list(range(1, 28))
    lines = csv.DictReader((Path(draft.__file__).parent / "templates/checklists.csv").open())
    named = {line["answer"] for line in lines} - {""}
    answers = (Path(draft.__file__).parent / "templates/answers.md.j2").read_text()
    assert set(re.findall(r"^(\w+): ", answers, re.MULTILINE)) == named
    items = [line for line in made.text.splitlines() if line.startswith("| ")]
    open_ = sum("<!-- author claim-" in line or "<!-- author tripod-" in line for line in items)
    assert 30 < open_ < 40
    without = [place.key for place in compose(tmp_path).authors]
    assert sum(key.startswith("claim-") for key in without) == 44


@pytest.mark.parametrize(
    ("run", "where", "value", "before", "after"),
    [
        ("cnn-0", ("splits", "test", "auroc", "value"), 0.6543, "0.973", "0.654"),
        ("cnn-0", ("splits", "test", "f1", "ci95"), [0.1111, 0.2222], "0.920]", "[0.111, 0.222]"),
        ("cnn-0", ("audit", "verdict"), "All is border.", "says enough", "All is border."),
        ("cnn-0", ("calibration", "verdict"), "not shown: few", "calibrated.", "not shown: few."),
        ("cnn-0", ("seconds",), 7200, "3 min", "2.0 h"),
        ("dae", ("splits", "test", "unet/gaussian/25/psnr", "value"), 33.33, "32.75", "33.33"),
        ("dae", ("network", "parameters"), 123456, "454,912", "123,456"),
        ("dip", ("splits", "test", "dip/gaussian/25/psnr", "value"), 27.77, "23.69", "27.77"),
        ("tune", ("splits", "validation", "gain/auroc", "value"), 0.4321, "0.180", "0.432"),
        ("eda", ("sentences",), None, "5,910 rows", "4,321 rows"),
    ],
)
def test_a_figure_that_changes_in_the_results_changes_in_the_text(
    tmp_path, run, where, value, before, after
) -> None:
    made_runs.all_kinds(tmp_path)
    for other in tmp_path.iterdir():  # one run alone, so that no other has the same figure
        if other.name != run:
            other.rename(tmp_path.parent / f"{tmp_path.name}-{other.name}")
    first = compose(tmp_path).text
    name = "eda.json" if run == "eda" else "results.json"
    path = tmp_path / run / name
    found = json.loads(path.read_text())
    *keys, last = where
    place = found
    for key in keys:
        place = place[key]
    place[last] = ["4,321 rows name it."] if run == "eda" else value
    path.write_text(json.dumps(found))
    assert before in first and after not in first
    assert after in compose(tmp_path).text


@pytest.mark.parametrize(
    "changes",
    [
        {"calibration": []}, {"calibration": {"after": {"brier": 3}}}, {"audit": [1]},
        {"audit": {"verdict": None, "border": {"auroc": {"value": 1}}}}, {"predictive_values": {}},
        {"operating_points": {"x": 3}}, {"confusion_matrix": {"test": 3}}, {"classes": 5},
        {"saliency": {"share_outside_thorax": made_runs.figure(0.3)}}, {"threshold": None},
        {"seconds": "long"}, {"task": None}, {"external": 3}, {"splits": {}}, {"seed": {}},
    ],
)  # fmt: skip
def test_odd_contents_leave_one_run_out_at_most(tmp_path, changes) -> None:
    made_runs.classify(tmp_path / "good")
    made_runs.classify(tmp_path / "odd", **changes)
    text = compose(tmp_path).text
    assert "0.973 [0.963, 0.983]" in text and "odd" in text


def test_no_run_at_all_gives_a_report_that_says_so(tmp_path) -> None:
    made = compose(tmp_path)
    assert "No run is finished yet." in made.text
    assert "not there" not in made.title


def test_the_commands_start_the_same_runs(home, made) -> None:
    from configs import cnn, dae
    from covidjax.report import tables_runs

    for name, module in (("cnn-0", cnn), ("dae", dae)):
        [run] = collect.collect([f"{home}/{name}"])
        line = tables_runs.command(run)
        assert f"--config=configs/{module.__name__.partition('.')[2]}.py:" in line
        known = module.get_config("").to_dict()
        fields = tables_runs.settings_of(run)
        assert {field.partition(".")[0] for field in fields} <= set(known)
        assert "data.archive" not in fields and fields["seed"] == 0
