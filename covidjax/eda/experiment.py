"""The look at the data: every table, figure and flag, and `eda.html` to read them on."""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ml_collections
import numpy as np

from covidjax.data import cache, source
from covidjax.data.table import read_table
from covidjax.eda import archive_facts, embedding, stream
from covidjax.eda import check as eda_check
from covidjax.eda import run_features as eda_features
from covidjax.eda.charts.figures import Album
from covidjax.eda.classes import CLASSES, classes_of
from covidjax.eda.data import Data, Facts
from covidjax.eda.sections import data as sections_data
from covidjax.eda.sections import first_page
from covidjax.eda.sections import images as sections_images
from covidjax.eda.sections import methods as sections_methods
from covidjax.report import page
from covidjax.runs import results, workdir
from covidjax.runs.prepared import prepared_data

PIXELS = 64  # a side of the cache that components and classifiers read
TITLE = "CoronaHack before training: a look at the data"


def run(config: ml_collections.ConfigDict, folder: Path) -> dict[str, Any]:
    """Runs the experiment and returns what `results.json` holds.

    Writes `eda.html` (all of it in one file), `eda.json` (sections, captions and paths for other
    reports), `figures/*.png` and `.svg`, `tables/*.csv`, and last `results.json`.

    Raises:
      ValueError and its kind: a config that cannot work, wrong data, a workdir of another run.
    """
    start = time.time()
    eda_check.check(config)
    trained = eda_features.load_run(config.run) if config.run else None
    prepared = prepared_data(config)
    phantom = prepared.kind == "phantom"
    if phantom:
        print(source.phantom_banner(), file=sys.stderr, flush=True)
    config = config.copy_and_resolve_references()
    config.size = config.size or config.auto_size[prepared.kind]
    with workdir.claim(folder, config, prepared, "") as finished:
        if finished:
            print(f"{folder} is finished: see {folder / 'eda.html'}")
            return results.read_results(folder)
        print(f"The look goes to {folder}", flush=True)
        data = gather(config, prepared, folder)
        sections, facts = look(config, data, trained)
        sentences = first_page.sentences(data, facts)
        return write(config, data, folder, sections, sentences, start)


def gather(config: ml_collections.ConfigDict, prepared: source.Prepared, folder: Path) -> Data:
    """The table of the examples, the archive's own facts, and where to write."""
    table = read_table(prepared.path)
    archive = archive_facts.find(config.data.archive, prepared)
    return Data(
        prepared=prepared,
        table=table,
        codes=classes_of(table),
        archive=archive_facts.read(archive) if archive else None,
        album=Album(folder / "figures", prepared.kind == "phantom"),
        tables=folder / "tables",
        seed=config.seed,
        progress=not config.quiet,
        tell=teller(config.quiet),
    )


def look(
    config: ml_collections.ConfigDict, data: Data, trained: Any
) -> tuple[list[page.Section], Facts]:
    """All sections in the order of the page, and the facts for the first one."""
    prepared = data.prepared
    method, note = embedding.available(config.embedding.method)
    if note:
        print(note, file=sys.stderr, flush=True)
    streamed = stream.stream(prepared.path, data.codes, config.size, progress=data.progress)
    images = cache.load_cache(
        prepared.path, prepared.fingerprint, PIXELS, "none", "squash", progress=data.progress
    )
    rows = embedding.sample(data.codes, config.embedding.images, config.seed)
    seen = None
    if trained is not None:
        data.tell("features of the run's network")
        seen = eda_features.run_features(trained, prepared, rows, progress=data.progress)
    parts = [
        sections_data.counts(data),
        sections_data.gaps(data),
        sections_data.copies_and_groups(data),
        sections_data.sizes(data),
        sections_images.features(data, streamed, config.size),
        sections_images.pictures(data, streamed, config.size),
        sections_images.outliers_and_flags(data, streamed, images, config.size),
        sections_methods.preparation(data, streamed, images, most=config.scaling_images),
        sections_methods.maps(data, images, rows, method, seen, note),
    ]
    facts: Facts = {}
    for _, found in parts:
        facts |= found
    return [section for section, _ in parts], facts


def write(
    config: ml_collections.ConfigDict,
    data: Data,
    folder: Path,
    sections: list[page.Section],
    sentences: list[str],
    start: float,
) -> dict[str, Any]:
    """Writes the page, `eda.json` and, last, `results.json`; returns its contents."""
    counts = {name: int((data.codes == code).sum()) for code, name in enumerate(CLASSES)}
    shown = {
        "experiment": "eda",
        "task": "",
        "data": data.prepared.kind,
        "seed": config.seed,
        "sentences": sentences,
    }
    results.write_results(
        folder / "eda.json", {**shown, "sections": page.as_json(sections, folder)}
    )
    page.render(
        folder / "eda.html",
        TITLE,
        sections,
        sentences=sentences,
        facts=page_facts(data),
        phantom=data.phantom,
    )
    found = {
        **shown,
        "seconds": round(time.time() - start, 1),
        "splits": {},
        "images": len(data.table),
        "classes": {name: count for name, count in counts.items() if count},
        "report": {
            key: data.prepared.report["counts"][key] for key in data.prepared.report["counts"]
        },
    }
    results.write_results(folder / "results.json", found)
    print("\n".join(f"{n:2}. {sentence}" for n, sentence in enumerate(sentences, 1)))
    print(f"Read {folder / 'eda.html'}", flush=True)
    return results.read_results(folder)


def page_facts(data: Data) -> list[tuple[str, str]]:
    """What stands under the title."""
    kind = "PHANTOM (synthetic images)" if data.phantom else "real images"
    return [
        ("Data", f"{data.prepared.report['archive']}: {kind}"),
        ("Images", f"{len(data.table):,}, {np.unique(data.table['group']).size:,} groups"),
        ("Fingerprint", data.prepared.fingerprint[:16]),
        ("Seed", str(data.seed)),
    ]


def teller(quiet: bool) -> Callable[[str], None]:
    """Says on stderr what is being done, with the seconds since the first line."""
    start = time.monotonic()

    def tell(what: str) -> None:
        if not quiet:
            print(f"Look, {time.monotonic() - start:4.0f} s: {what}", file=sys.stderr, flush=True)

    return tell
