"""Text for LaTeX: everything is escaped, a person's Markdown is set, nothing can command."""

import re
from collections.abc import Sequence

from markdown_it.tree import SyntaxTreeNode

from covidjax.report.markup import READER

WIDEST = 76  # signs of a typewriter's line
SPECIAL = {
    **{c: f"\\{c}" for c in "#$%&_{}"},
    "[": "{[}",  # behind a line's end or an item it would begin an option
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "`": r"\textasciigrave{}",
    "±": r"$\pm$",
    "×": r"$\times$",
    "−": r"$-$",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
    "→": r"$\rightarrow$",
    "·": r"$\cdot$",
    "°": r"$^{\circ}$",
    "µ": r"$\mu$",
    "–": "--",
    "—": "---",
    "…": r"\ldots{}",
    "‘": "`",
    "’": "'",
    "“": "``",
    "”": "''",
    "\u00a0": "~",
    "\t": " ",
}


def escaped(text: str) -> str:
    """Text that LaTeX sets as it is; signs that it does not know are named by their number."""
    text = re.sub(r"\s+", " ", text)
    return "".join(SPECIAL.get(sign) or (sign if _known(sign) else f"[U+{ord(sign):04X}]")
                   for sign in text)  # fmt: skip


def _known(sign: str) -> bool:
    """ASCII, and the letters of western Europe that T1 has."""
    return " " <= sign <= "~" or "À" <= sign <= "ÿ" and sign not in "×÷"


def author_tex(text: str) -> str:
    """A person's Markdown: paragraphs, lists, emphasis, links, code; the rest as its text."""
    tree = SyntaxTreeNode(READER.parse(text))
    return "\n\n".join(_node(node) for node in tree.children)


def _node(node: SyntaxTreeNode) -> str:
    if node.type in ("bullet_list", "ordered_list"):
        kind = "itemize" if node.type == "bullet_list" else "enumerate"
        texts = ["\n\n".join(_node(child) for child in item.children) for item in node.children]
        return items(texts, kind)
    if node.type in ("fence", "code_block"):
        return verbatim(node.content.rstrip("\n"))
    if node.type == "heading":
        return f"\\subsubsection*{{{_children(node)}}}"
    if node.type == "blockquote":
        inside = "\n\n".join(_node(child) for child in node.children)
        return f"\\begin{{quote}}\n{inside}\n\\end{{quote}}"
    if node.type == "table":
        rows = [row for part in node.children for row in part.children]
        lines = [" & ".join(_children(cell) for cell in row.children) + " \\\\" for row in rows]
        columns = "l" * max(len(row.children) for row in rows)
        body = "\n".join(lines)
        return f"\\fitted{{\\begin{{tabular}}{{{columns}}}\n{body}\n\\end{{tabular}}}}"
    if node.type == "hr":
        return "\\medskip\\hrule\\medskip"
    return _children(node)


def _children(node: SyntaxTreeNode) -> str:
    return "".join(_inline_node(child) for child in node.children)


def author_inline(text: str) -> str:
    """A person's Markdown in a table's cell: one line."""
    return _children(SyntaxTreeNode(READER.parseInline(" ".join(text.split()))))


def _inline_node(node: SyntaxTreeNode) -> str:
    commands = {"strong": "textbf", "em": "emph", "s": "struck"}
    if node.type in commands:
        return f"\\{commands[node.type]}{{{_children(node)}}}"
    if node.type == "code_inline":
        return f"\\texttt{{{escaped(node.content)}}}"
    if node.type == "link":
        # markdown-it has written all else that is special as %XX.
        target = re.sub(r"([%#&])", r"\\\1", str(node.attrs.get("href", "")))
        return f"\\href{{{target}}}{{{_children(node)}}}"
    if node.type == "softbreak":
        return "\n"
    if node.type == "hardbreak":
        return "\\\\\n"
    if node.children:
        return _children(node)
    return escaped(node.content)


def items(texts: Sequence[str], kind: str) -> str:
    """A list; kind: itemize or enumerate."""
    body = "\n".join(f"\\item {item}" for item in texts)
    return f"\\begin{{{kind}}}\n{body}\n\\end{{{kind}}}" if texts else ""


def verbatim(text: str) -> str:
    """Command lines, the long ones continued on the next line as a shell takes them.

    ASCII alone, and nothing in them can end them.
    """
    shown = "".join(sign if " " <= sign <= "~" or sign == "\n" else "?" for sign in text)
    shown = shown.replace("\\end{verbatim}", "\\ end{verbatim}")
    lines = "\n".join(_continued(line) for line in shown.split("\n"))
    return f"\\begin{{verbatim}}\n{lines}\n\\end{{verbatim}}"


def _continued(line: str) -> str:
    """A command broken before its flags where it is longer than a page is wide."""
    rows = [""]
    for part in re.split(r" (?=--)", line):
        if rows[-1] and len(rows[-1]) + len(part) > WIDEST:
            rows[-1] += " \\"
            rows.append("    " + part)
        else:
            rows[-1] += f" {part}" if rows[-1] else part
    return "\n".join(rows)
