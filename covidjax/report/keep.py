"""What a person wrote is not lost: author blocks found again, and backups of edited files.

In `report.md` a person's places stand between two comments, `<!-- author KEY HASH -->` and
`<!-- /author KEY -->`; the hash is of what was asked for there, so that a text which nobody has
touched follows the program's own. Edits outside of them cannot be told from what the program
writes anew, so a file that was edited there is copied before it is replaced.
"""

import hashlib
import re
import shutil
from pathlib import Path

from covidjax.report.markdown import Author

BEGIN = re.compile(r"<!-- author (?P<key>[A-Za-z0-9-]+)(?: (?P<hash>[0-9a-f]{8}))? -->")
BLOCK = re.compile(BEGIN.pattern + r"(?P<text>.*?)<!-- /author (?P=key) -->", re.DOTALL)
ANY = re.compile(r"<!--\s*(?P<end>/?)author\b\s*(?P<key>[^\s>]*)[^>]*-->")


class KeepError(ValueError):
    """An earlier report that cannot be taken apart; the message says what to mend."""


def begin(author: Author) -> str:
    """The comment before a person's text."""
    return f"<!-- author {author.key} {short_hash(author.prompt)} -->"


def end(author: Author) -> str:
    """The comment behind it."""
    return f"<!-- /author {author.key} -->"


def short_hash(text: str) -> str:
    """Eight digits that tell texts apart; white space at the ends does not count."""
    return hashlib.sha256(text.strip().encode()).hexdigest()[:8]


def read_authors(path: Path) -> dict[str, str]:
    """Key -> text of each block that a person has edited; {} where there is no file.

    Raises:
      KeepError: the file is no text, a mark has no partner or stands twice: it would be lost.
    """
    if not path.exists():
        return {}
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise KeepError(f"{path} cannot be read ({error}); move it away first") from error
    blocks = list(BLOCK.finditer(text))
    inside = {at for block in blocks for at in (block.start(), block.start("text"))}
    found: dict[str, str] = {}
    seen: set[str] = set()
    for block in blocks:
        key = block["key"]
        if key in seen:
            raise KeepError(
                f"{path}, line {_line(text, block.start())}: there is a second author block {key}; "
                "put both texts into one"
            )
        seen.add(key)
        content = block["text"].strip()
        if ANY.search(content):
            raise KeepError(
                f"{path}, line {_line(text, block.start())}: the author block {key} has no end of "
                f"its own; write <!-- /author {key} --> behind it"
            )
        if short_hash(content) != block["hash"]:
            found[key] = content
    ends = {block.end() for block in blocks}
    for mark in ANY.finditer(text):
        if mark.start() not in inside and mark.end() not in ends:
            partner = "beginning" if mark["end"] else "end"
            raise KeepError(
                f"{path}, line {_line(text, mark.start())}: {mark[0]} has no {partner}; mend it, "
                "or move the file away to begin anew"
            )
    return found


def fingerprint(path: Path) -> str:
    """A hash of a written file, of text without that of its author blocks."""
    data = path.read_bytes()
    try:
        text = data.decode("utf-8").replace("\r\n", "\n")
    except ValueError:
        return hashlib.sha256(data).hexdigest()
    bare = BLOCK.sub(lambda block: f"<!-- author {block['key']} -->", text)
    return hashlib.sha256(bare.encode()).hexdigest()


def back_up_edited(path: Path, known: str | None) -> Path | None:
    """Copies a file that is not as the program left it; the copy's path, None where it is.

    Args:
      known: `fingerprint` of what was written last; None where that is not known.
    """
    if not path.exists():
        return None
    if known is not None and fingerprint(path) == known:
        return None
    number = 1
    while (copy := path.with_name(f"{path.stem}.backup-{number}{path.suffix}")).exists():
        number += 1
    shutil.copy2(path, copy)
    return copy


def _line(text: str, place: int) -> int:
    return text.count("\n", 0, place) + 1
