"""The pages in a real browser; skipped where no Chromium is installed."""

import threading
from pathlib import Path

import browser
import made_runs
import pandas as pd
import pytest
from PIL import Image

from configs import report as report_config
from covidjax.report import experiment as report
from covidjax.report import page as page_writer
from covidjax.report.live import serve
from covidjax.report.markdown import Figure

pytestmark = pytest.mark.skipif(browser.CHROMIUM is None, reason="needs Chromium")
ENTER, ESCAPE = ("Enter", 13, "\r"), ("Escape", 27)


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    return made_runs.all_kinds(tmp_path_factory.mktemp("browsed") / "runs")


@pytest.fixture(scope="module")
def folder(home) -> Path:
    config = report_config.get_config()
    config.runs = f"{home}/*"
    report.run(config.lock(), home.parent / "report")
    return home.parent / "report"


@pytest.fixture(scope="module")
def tab():
    with browser.browser() as page:
        yield page


@pytest.fixture
def page(tab, folder) -> browser.Page:
    tab.look(1280)
    tab.open((folder / "report.html").as_uri())
    return tab


def test_it_opens_without_an_error_or_a_request(page, folder) -> None:
    assert page.errors == []
    assert [url for url in page.asked if not url.startswith("data:")] == [
        (folder / "report.html").as_uri()
    ]
    assert page.run("document.title").startswith("Partly PHANTOM")


@pytest.mark.parametrize(
    ("width", "scheme", "media"),
    [(1280, "light", ""), (1280, "dark", ""), (390, "light", ""), (800, "light", "print")],
)
def test_nothing_is_wider_than_the_window_and_the_picture_is_not_blank(
    page, tmp_path, width, scheme, media
) -> None:
    page.look(width, 900, scheme, media)
    if media != "print":
        assert page.run("document.documentElement.scrollWidth") <= width
    page.screenshot(tmp_path / "page.png")
    with Image.open(tmp_path / "page.png") as image:
        gray = image.convert("L")
        low, high = gray.getextrema()
        corner = gray.getpixel((3, gray.height - 3))
    assert high - low > 150
    assert (corner < 60) == (scheme == "dark")


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_axe_finds_nothing(page, width, scheme) -> None:
    axe = browser.axe_source()
    if axe is None:
        pytest.skip("needs axe-core: pip install axe-core-python, or AXE_CORE=axe.min.js")
    page.look(width, 900, scheme)
    assert page.violations(axe) == []


def test_columns_are_sorted_by_their_numbers_with_the_keyboard(page) -> None:
    table = "document.querySelector('#table-classify-1')"
    cells = f"Array.from({table}.tBodies[0].rows, row => row.cells[3].textContent).join(' ')"
    page.run(f"{table}.querySelectorAll('th button')[3].focus()")
    page.key(*ENTER)
    assert page.run(f"{table}.querySelectorAll('th')[3].getAttribute('aria-sort')") == "ascending"
    assert page.run(cells).split("]")[0].strip().startswith("0.800")
    page.key(*ENTER)
    assert page.run(cells).startswith("0.975")


def test_figures_are_enlarged_and_closed_with_the_keyboard(page) -> None:
    page.run("document.querySelector('button.enlarge').focus()")
    page.key(*ENTER)
    page.until("document.querySelector('dialog').open")
    page.until("document.querySelector('dialog img').naturalWidth > 0")
    page.key(*ESCAPE)
    page.until("!document.querySelector('dialog').open")


def test_every_link_within_the_page_leads_somewhere(page) -> None:
    missing = page.run(
        "Array.from(document.querySelectorAll('a[href^=\"#\"]'), a => a.getAttribute('href'))"
        ".filter(h => !document.getElementById(h.slice(1))).join(' ')"
    )
    assert missing == ""


def test_formulas_are_drawn_and_pictures_described(page) -> None:
    assert page.run("document.querySelectorAll('.equation math').length") > 10
    assert page.run("document.querySelector('.equation math').getBoundingClientRect().height") > 15
    assert page.run(
        "Array.from(document.images).filter(i => !i.closest('dialog')).every(i => i.alt)"
    )
    assert page.run("document.querySelectorAll('merror').length") == 0


def test_it_prints_with_every_picture_though_nobody_scrolled_to_it(page) -> None:
    data = page.pdf()
    assert data.startswith(b"%PDF") and data.count(b"/Type /Page") > 3
    shown = page.run("new Set(Array.from(document.images, i => i.src)).size") - 1  # the dialog's
    assert shown > 2 and data.count(b"/Subtype /Image") >= shown


def test_a_page_of_a_look_passes_too(tab, tmp_path) -> None:
    png = made_runs.write_png(tmp_path / "a.png", size=(900, 300))
    shown = Figure("a", png, None, "A caption.", "Gray.")
    frame = pd.DataFrame({f"column_{n}": [1.5, 2.0] for n in range(20)})
    table = page_writer.write_table(tmp_path, "t", frame, "A long caption. " * 9, phantom=True)
    sections = [page_writer.Section("one", "One", ("Text.",), (shown, table))]
    page_writer.render(tmp_path / "look.html", "A look", sections, sentences=["1"], phantom=True)
    tab.look(390)
    tab.open((tmp_path / "look.html").as_uri())
    assert tab.run("document.documentElement.scrollWidth") <= 390
    assert tab.run("document.querySelector('caption span').getBoundingClientRect().right") <= 390
    axe = browser.axe_source()
    assert tab.errors == [] and (axe is None or tab.violations(axe) == [])


@pytest.fixture
def served(home):
    with serve.open_server([f"{home}/*"], 0) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join(5)


def test_the_local_page_follows_a_run(tab, served, home, tmp_path) -> None:
    tab.look(1280)
    tab.open(f"{served}#going")
    chart = "document.querySelector('.chart[data-figure=loss]')"
    tab.until(f"{chart} !== null")
    assert "step 5" in tab.run(f"{chart}.querySelector('svg').getAttribute('aria-label')")
    with (home / "going" / "metrics.jsonl").open("a") as file:
        file.write('{"step": 77, "split": "train", "loss": 0.125, "<b>": 1}\n')
    tab.until(f"{chart}.textContent.includes('0.1250 at step 77')")
    assert tab.run("document.querySelectorAll('#runs tr').length") >= 11
    assert tab.run("document.querySelectorAll('#charts b').length") == 0
    assert tab.errors == []
    axe = browser.axe_source()
    for width, scheme in ((1280, "light"), (390, "dark")):
        tab.look(width, 900, scheme)
        assert tab.run("document.documentElement.scrollWidth") <= width
        assert axe is None or tab.violations(axe) == []
    assert len(tab.screenshot(tmp_path / "live.png", whole=True)) > 5000


def test_a_runs_own_page_works_within_its_sandbox(tab, served, home) -> None:
    config = report_config.get_config()
    config.runs = f"{home}/cnn-0"
    report.run(config.lock(), home / "report")
    tab.open(f"{served}files/report/report.html")
    tab.run("document.querySelector('button.enlarge').click()")
    tab.until("document.querySelector('dialog').open")
    assert [error for error in tab.errors if "favicon" not in error] == []
