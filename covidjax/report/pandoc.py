"""LaTeX and Word files of `report.md`, by pandoc (the extra `report` brings it)."""

import os
import re
import tempfile
from pathlib import Path

from covidjax.locking import temporary

# pandoc's own Markdown, without what the draft does not use and a person may not mean.
READ = "markdown" + "".join(
    f"-{name}"
    for name in (
        "citations", "definition_lists", "example_lists", "fancy_lists", "footnotes",
        "implicit_figures", "line_blocks", "raw_tex", "subscript", "superscript",
        "yaml_metadata_block", "latex_macros", "inline_notes", "header_attributes", "raw_html",
        "native_divs", "native_spans",
    )
) + "+autolink_bare_uris"  # fmt: skip
COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
WRITERS = {"report.tex": "latex", "report.docx": "docx"}
MISSING = (
    'report.tex and report.docx are not written: pandoc is missing, pip install -e ".[report]" '
    "brings it"
)


def available() -> bool:
    """Whether pandoc can be called."""
    try:
        import pypandoc

        pypandoc.get_pandoc_version()
    except (ImportError, OSError):
        return False
    return True


def write(folder: Path, name: str) -> None:
    """Writes `report.tex` or `report.docx` of the `report.md` in the folder.

    Raises:
      RuntimeError: pandoc failed; the message is its own.
    """
    import pypandoc

    # Without it a Word file holds the time, and the same runs would not give the same file.
    os.environ.setdefault("SOURCE_DATE_EPOCH", "315532800")  # 1980, the first year of zip files
    with tempfile.TemporaryDirectory() as place:
        made = Path(place) / name
        pypandoc.convert_text(
            COMMENT.sub("", (folder / "report.md").read_text(encoding="utf-8")),
            WRITERS[name],
            format=READ,
            outputfile=str(made),
            extra_args=[
                "--standalone",
                f"--resource-path={folder}",
                "--columns=72",
                "--shift-heading-level-by=-1",
                "--variable=geometry:margin=2.5cm",
                "--variable=colorlinks=true",
            ],
        )
        with temporary(folder / name) as file:
            file.write(made.read_bytes())
