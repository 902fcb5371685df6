"""The TFDS build: archive in, prepared dataset out."""

import shutil
from collections.abc import Iterator
from pathlib import Path

from benchmarks.compare import Result, in_turns, progress, repeated
from benchmarks.settings import Settings
from benchmarks.worker import Side, Worker


def build(settings: Settings) -> Iterator[Result]:
    """An archive of full-size images packaged by tfds_coronahack."""
    from benchmarks import films

    progress("build: making the archive")
    archive = settings.archive or films.archive(settings.scratch)
    options = {"archive": str(archive), "folder": str(settings.scratch / "built")}
    with Worker("benchmarks.build:ours", options) as side:
        values = in_turns(side.turn, None, settings.pairs, settings.say)
    yield Result("build", "images/s", *values)


def ours(archive: str, folder: str) -> Side:
    """The build, for a worker."""
    import tfds_coronahack

    def run(times: int) -> None:
        for _ in range(times):
            shutil.rmtree(folder, ignore_errors=True)
            tfds_coronahack.prepare(archive, folder, progress=False)

    run(1)
    report = tfds_coronahack.read_report(tfds_coronahack.prepared_dir(Path(folder)) or folder)
    return Side(repeated(run, report["counts"]["examples"]))
