"""A draft report of finished runs: Markdown to edit, a page to read, LaTeX and Word.

    python launch.py --config=configs/report.py
    python launch.py --config=configs/report.py --config.runs=runs/* --workdir=runs/report
    python launch.py --config=configs/report.py --config.serve

The first reports on all of `runs/`, in some seconds. The second, given again, writes the report of
the runs anew and keeps what a person wrote in the author blocks of `report.md`. The third opens a
page on this machine that lists the runs and draws the curves of those in progress.

Arguments behind the colon: runs.
"""

import ml_collections

from configs import common
from covidjax.runs.config import make


def get_config(arg: str | None = None) -> ml_collections.ConfigDict:
    """The config; `arg` is what stands behind the colon."""
    values = common.parse_arg(arg, {"runs": "runs/*"})
    config = make("report")
    config.runs = values["runs"]
    return config
