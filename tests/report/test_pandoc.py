"""LaTeX and Word from the draft's Markdown; one line says how to get pandoc where it is missing."""

import re
import shutil
import subprocess
import zipfile
from pathlib import Path

import made_runs
import pytest

from configs import report as report_config
from covidjax.report import experiment as report
from covidjax.report import pandoc

needs_pandoc = pytest.mark.skipif(not pandoc.available(), reason="needs pandoc")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    home = tmp_path_factory.mktemp("home")
    made_runs.all_kinds(home / "runs")
    config = report_config.get_config()
    config.runs = f"{home}/runs/*"
    report.run(config.lock(), home / "report")
    return home / "report"


@needs_pandoc
def test_latex_has_the_sections_formulas_tables_and_pictures(folder) -> None:
    text = (folder / "report.tex").read_text()
    titles = re.findall(r"^## (.*)$", (folder / "report.md").read_text(), re.MULTILINE)
    for title in titles:
        assert f"\\section{{{title}}}" in text
    assert text.count("\\begin{longtable}") > 10 and text.count("\\[") > 10
    pictures = re.findall(r"\\includegraphics\[.*?\]\{(.*?)\}", text)
    assert len(pictures) > 5 and all((folder / name).is_file() for name in pictures)
    assert "author question" not in text


@needs_pandoc
@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs pdflatex")
def test_latex_compiles(folder, tmp_path) -> None:
    shutil.copytree(folder, tmp_path / "report")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "report.tex"]
    done = subprocess.run(command, cwd=tmp_path / "report", capture_output=True, timeout=300)
    assert done.returncode == 0, done.stdout[-2000:].decode("utf-8", "replace")


@needs_pandoc
def test_word_has_the_text_and_the_pictures(folder) -> None:
    with zipfile.ZipFile(folder / "report.docx") as archive:
        text = archive.read("word/document.xml").decode()
        pictures = [name for name in archive.namelist() if name.startswith("word/media/")]
    assert "Shortcut audit" in text and "State the clinical question" in text
    assert "author question" not in text and len(pictures) > 5


@needs_pandoc
def test_a_persons_text_cannot_command_latex(tmp_path) -> None:
    (tmp_path / "report.md").write_text("\\input{/etc/passwd} \\end{document} $\\alpha$ <b>x</b>\n")
    pandoc.write(tmp_path, "report.tex")
    text = (tmp_path / "report.tex").read_text().partition("\\begin{document}")[2]
    assert "\\input" not in text and text.count("\\end{document}") == 1
    assert "\\(\\alpha\\)" in text


def test_without_pandoc_one_line_says_how_to_get_it(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(pandoc, "available", lambda: False)
    made_runs.classify(tmp_path / "runs" / "a")
    config = report_config.get_config()
    config.runs = f"{tmp_path}/runs/*"
    found = report.run(config.lock(), tmp_path / "report")
    assert set(found["files"]) == {"report.md", "report.html"}
    assert capsys.readouterr().err == pandoc.MISSING + "\n"
