"""The draft of one run of each kind: every figure is of a run, and marked as it must be."""

import dataclasses
import json
import re
from pathlib import Path

import made_runs
import pytest
from matplotlib.mathtext import MathTextParser

from covidjax.data.augment import Augmentation
from covidjax.report import collect, document, draft, markdown, numbering, tex
from covidjax.report.document import Equation, Figure, Grid, plain
from covidjax.report.sections import checklist_items, checklists, methods_classify
from covidjax.report.sections import references as reference_table


def compose(home: Path) -> document.Document:
    runs, others = draft.usable(collect.collect([f"{home}/*"]))
    return draft.compose(runs, others, [])


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    return made_runs.all_kinds(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def made(home) -> document.Document:
    return compose(home)


def both(home: Path, made: document.Document) -> list[str]:
    """Markdown and LaTeX, pictures linked from where they are."""
    return [markdown.write(made, Path("/"), False), tex.write(made, Path("/"))]


def test_the_text_names_every_augmentation_that_a_run_has_and_none_that_is_off(tmp_path) -> None:
    folder = made_runs.all_kinds(tmp_path) / "cnn-0"
    about = json.loads((folder / "config.json").read_text())
    strengths = dataclasses.asdict(Augmentation())
    assert methods_classify.AUGMENTED.keys() == strengths.keys()

    def paragraph(**changes: float) -> str:
        about["config"]["augment"] = strengths | changes
        (folder / "config.json").write_text(json.dumps(about))
        (run,) = collect.collect([str(folder)])
        (found,) = methods_classify._input([run])
        return plain(found.spans)

    text = paragraph(erase=0.35, noise=0.0625)
    for name, value in (strengths | {"erase": 0.35, "noise": 0.0625}).items():
        phrase = methods_classify.AUGMENTED[name]
        assert phrase.replace(f"{{{name}}}", methods_classify.number(value)) in text
    assert "one rectangle with sides of up to 0.35 of the image's set to its mean" in text
    assert "noise" not in paragraph(noise=0.0)
    assert "at random" not in paragraph(**dict.fromkeys(strengths, 0.0))


def test_the_text_counts_the_looks_at_test(tmp_path) -> None:
    home = made_runs.all_kinds(tmp_path)
    runs = [run for run in collect.collect([f"{home}/*"]) if run.setting("split") == "official"]
    one, two = (
        " ".join(plain(part.spans) for part in methods_classify._split(some))
        for some in (runs[:1], [runs[0], runs[0]])
    )
    assert "have looked at it once" in one and "have looked at it 2 times" in two
    found = [path.read_text() for path in Path(home).rglob("results.json")]
    tested = ['"test": {' in text for text in found]  # one of them is damaged
    assert sum(tested) > 2  # denoisers and priors have looked too
    assert all(f"in the same folders {sum(tested)} have" in text for text in (one, two))


def test_the_sections_are_those_of_a_paper(made) -> None:
    assert [section.key for section in made.sections] == [
        "question", "data", "methods", "results", "audit", "calibration", "figures",
        "limitations", "reproducibility", "references", "checklists",
    ]  # fmt: skip


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
    first = both(tmp_path, compose(tmp_path))
    name = "eda.json" if run == "eda" else "results.json"
    path = tmp_path / run / name
    found = json.loads(path.read_text())
    *keys, last = where
    place = found
    for key in keys:
        place = place[key]
    place[last] = ["4,321 rows name it."] if run == "eda" else value
    path.write_text(json.dumps(found))
    for old, new in zip(first, both(tmp_path, compose(tmp_path)), strict=True):
        old, new = (text.replace("{[}", "[") for text in (old, new))  # LaTeX's brackets
        assert before in old and after not in old
        assert after in new


def test_phantoms_are_marked_in_title_tables_and_figures(home, made) -> None:
    assert made.mark == "Partly PHANTOM: " and "PHANTOM" in made.warning
    for section in made.sections:
        for block in section.blocks:
            if isinstance(block, Grid):
                text = " ".join(
                    plain(c.spans) for r in block.rows for c in r if hasattr(c, "spans")
                )
                if re.search(r"\b(phantom|dip|tune)\b", text) and block.name != "others":
                    assert plain(block.caption).startswith("PHANTOM."), block.name
            if isinstance(block, Figure) and "Run phantom" in block.caption:
                assert block.caption.startswith("PHANTOM.")
    only = draft.compose([run for run in collect.collect([f"{home}/phantom"])], [], [])
    assert only.mark == "PHANTOM: " and "every image is synthetic" in only.warning
    real = draft.compose([run for run in collect.collect([f"{home}/cnn-0"])], [], [])
    assert real.mark == "" and "PHANTOM" not in "".join(both(home, real))


def test_what_is_not_finished_is_listed_with_its_reason(home, made) -> None:
    [grid] = [b for s in made.sections for b in s.blocks if getattr(b, "name", "") == "others"]
    found = {plain(row[0].spans): [plain(c.spans) for c in row[1:]] for row in grid.rows}
    assert set(found) == {"going", "damaged", "empty"}
    assert found["going"][0] == "unfinished" and "step 5" in found["going"][2]
    assert found["damaged"][0] == "damaged"


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
    text = "".join(both(tmp_path, compose(tmp_path)))
    assert "0.973 [0.963, 0.983]" in text and "odd" in text


def test_no_run_at_all_gives_a_report_that_says_so(tmp_path) -> None:
    made = compose(tmp_path)
    assert "No run is finished yet." in both(tmp_path, made)[0]
    assert "not there" not in made.title


def test_every_reference_is_cited_somewhere_and_has_an_entry(home) -> None:
    source = Path(draft.__file__).parent
    text = "".join(path.read_text() for path in source.rglob("*.py"))
    keys = {key for match in re.findall(r"\[@([\w;@ ]+)\]", text)
            for key in match.replace("@", "").replace(" ", "").split(";")}  # fmt: skip
    assert set(reference_table.REFERENCES) <= keys
    assert all(len(entry) > 40 for entry in reference_table.REFERENCES.values())


def test_the_equations_are_sound(made) -> None:
    equations = [b.tex for s in made.sections for b in s.blocks if isinstance(b, Equation)]
    assert len(equations) > 10
    parser = MathTextParser("agg")
    for equation in equations:
        parser.parse(
            f"${equation.replace(chr(92) + 'left|', '|').replace(chr(92) + 'right|', '|')}$"
        )


def test_latex_is_whole(home, made) -> None:
    text = both(home, made)[1]
    stack: list[str] = []
    for what, name in re.findall(r"\\(begin|end)\{(\w+\*?)\}", text):
        if what == "begin":
            stack.append(name)
        else:
            assert stack.pop() == name
    assert stack == []
    bare = re.sub(r"\\begin\{verbatim\}.*?\\end\{verbatim\}", "", text, flags=re.DOTALL)
    bare = bare.replace("\\\\", "").replace("\\{", "").replace("\\}", "")
    assert bare.count("{") == bare.count("}")
    wanted = set(re.findall(r"\\(?:ref\{|hyperref\[)([\w-]+)", bare))
    assert wanted <= set(re.findall(r"\\label\{([\w-]+)\}", bare))
    cited = {key for keys in re.findall(r"\\cite\{([\w,]+)\}", bare) for key in keys.split(",")}
    assert cited == set(re.findall(r"\\bibitem\{(\w+)\}", bare))
    assert text.isascii() or not re.search(r"[^\x00-\x7fÀ-ÿ]", text)


def test_latex_tables_have_as_many_cells_as_columns(home, made) -> None:
    grids = {b.name: b for s in made.sections for b in s.blocks if isinstance(b, Grid)}
    text = both(home, made)[1]
    tables = re.findall(r"\\label\{([\w-]+)\}.*?\\midrule\n(.*?)\\bottomrule", text, re.DOTALL)
    seen = 0
    for name, body in tables:
        if name not in grids:
            continue
        seen += 1
        rows = [row for row in body.split(" \\\\\n") if "&" in row]
        assert all(
            len(re.findall(r"(?<!\\)&", row)) == len(grids[name].columns) - 1 for row in rows
        ), name
    assert seen > 10


def test_latex_parses_strictly(home, made) -> None:
    walker = pytest.importorskip("pylatexenc.latexwalker")
    text = both(home, made)[1]
    walker.LatexWalker(text, tolerant_parsing=False).get_latex_nodes()


def test_the_checklists_are_whole_and_answered_by_facts_that_there_are(home) -> None:
    tripod = [item.number for item in checklist_items.TRIPOD]
    claim = [item.number for item in checklist_items.CLAIM]
    assert claim == [str(number) for number in range(1, 45)]
    assert len(tripod) == len(set(tripod)) == 52
    assert sorted({int(re.sub(r"\D", "", number)) for number in tripod}) == list(range(1, 28))
    runs = [run for run in collect.collect([f"{home}/*"]) if run.state == "finished"]
    looks = [run for run in runs if run.experiment == "eda"]
    facts = checklists.known([run for run in runs if run.experiment != "eda"], looks)
    items = (*checklist_items.TRIPOD, *checklist_items.CLAIM)
    named = {item.fact for item in items if item.fact}
    assert named - set(facts) == set()
    assert set(facts) <= named


def test_without_runs_the_checklists_are_the_authors(tmp_path) -> None:
    made = compose(tmp_path)
    places = [place.key for place in numbering.authors(made.sections)]
    assert sum(key.startswith("claim-") for key in places) == 44


def test_the_commands_start_the_same_runs(home, made) -> None:
    from configs import cnn, dae
    from covidjax.report.sections import back_sections

    for name, module in (("cnn-0", cnn), ("dae", dae)):
        [run] = collect.collect([f"{home}/{name}"])
        line = back_sections.command(run)
        assert f"--config=configs/{module.__name__.partition('.')[2]}.py:" in line
        known = module.get_config("").to_dict()
        fields = back_sections.settings_of(run)
        assert {field.partition(".")[0] for field in fields} <= set(known)
        assert "data.archive" not in fields and fields["seed"] == 0
