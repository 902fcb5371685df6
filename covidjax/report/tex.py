"""The draft as LaTeX: everything that is text is escaped, formulas are this programme's own.

It needs what every distribution has: amsmath, booktabs, graphicx, hyperref, longtable, ulem.
"""

from pathlib import Path

from covidjax.report.described import relative
from covidjax.report.document import (
    Author,
    Block,
    Bullets,
    Cell,
    Code,
    Document,
    Equation,
    Figure,
    Grid,
    Heading,
    Mark,
    Paragraph,
    References,
    Section,
    Spans,
    plain,
)
from covidjax.report.numbering import citations, labels
from covidjax.report.tex_text import author_inline, author_tex, escaped, items, verbatim

PREAMBLE = r"""\documentclass[11pt,a4paper]{article}
\usepackage[utf8]{inputenc}
\usepackage[T1]{fontenc}
\usepackage[margin=2.5cm]{geometry}
\usepackage{amsmath}
\usepackage{array}
\usepackage{booktabs}
\usepackage{graphicx}
\usepackage{longtable}
\usepackage[normalem]{ulem}
\usepackage[hidelinks]{hyperref}
\setlength{\emergencystretch}{3em}
% A wide table is made as small as the line; a narrow one keeps its size.
\newcommand{\fitted}[1]{\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{#1}}
\newcommand{\struck}[1]{\sout{#1}}
"""
FLOATS = 8  # tables and figures, after which they are set: LaTeX holds no more than some dozens
LONG = 30  # rows from which a table may break over pages
WIDE = 34  # characters from which a column is set as text that breaks


def write(document: Document, folder: Path) -> str:
    """The text of `report.tex`; pictures are those of `folder`."""
    writer = _Writer(document, folder)
    title = escaped(document.mark + document.title)
    parts = [PREAMBLE, f"\\title{{{title}}}", "\\author{}", "\\begin{document}", "\\maketitle"]
    if document.warning:
        parts.append(f"\\noindent\\fbox{{\\parbox{{0.97\\linewidth}}{{\\textbf{{"
                     f"{escaped(document.warning)}}}}}}}")  # fmt: skip
    parts.append(items([f"{escaped(a)}: {escaped(b)}" for a, b in document.facts], "itemize"))
    for section in document.sections:
        parts += writer.section(section)
    return "\n\n".join([*parts, "\\end{document}"]) + "\n"


class _Writer:
    """Writes blocks; numbers are LaTeX's own."""

    def __init__(self, document: Document, folder: Path) -> None:
        self.document = document
        self.folder = folder
        self.labels = labels(document.sections)
        self.numbers = citations(document)

    def section(self, section: Section) -> list[str]:
        if any(isinstance(block, References) for block in section.blocks):
            return [self.references()]  # has a title of its own
        head = f"\\section{{{escaped(section.title)}}}\\label{{{section.key}}}"
        parts = [head, *(escaped(paragraph) for paragraph in section.paragraphs)]
        floats = 0
        for block in section.blocks:
            parts.append(self.block(block))
            floats += isinstance(block, Figure | Grid)
            if floats >= FLOATS:
                parts.append("\\clearpage")
                floats = 0
        return parts

    def block(self, block: Block) -> str:
        if isinstance(block, Paragraph):
            return self.spans(block.spans)
        if isinstance(block, Heading):
            return f"\\subsection{{{escaped(block.text)}}}"
        if isinstance(block, Bullets):
            kind = "enumerate" if block.numbered else "itemize"
            return items([self.spans(item) for item in block.items], kind)
        if isinstance(block, Equation):
            return f"\\begin{{equation}}\n{block.tex}\n\\end{{equation}}"
        if isinstance(block, Code):
            return verbatim(block.text)
        if isinstance(block, Author):
            text = author_tex(self.document.text_of(block))
            if self.document.written(block):
                return f"% author {block.key}\n{text}"
            return f"% author {block.key}\n\\textit{{[Author: {text}]}}"
        if isinstance(block, Figure):
            return self.figure(block)
        if isinstance(block, Grid):
            return self.grid(block)
        return ""

    def figure(self, figure: Figure) -> str:
        path = relative(figure.png, self.folder)
        size = "width=\\linewidth,height=0.75\\textheight,keepaspectratio"
        return (
            f"\\begin{{figure}}[htbp]\n\\centering\n\\includegraphics[{size}]{{{path}}}\n"
            f"\\caption{{{escaped(figure.caption)}}}\\label{{{figure.name}}}\n\\end{{figure}}"
        )

    def grid(self, grid: Grid) -> str:
        head = " & ".join(f"\\textbf{{{escaped(name)}}}" for name in grid.columns) + " \\\\"
        body = [" & ".join(self.cell(cell) for cell in row) + " \\\\" for row in grid.rows]
        caption = f"\\caption{{{self.spans(grid.caption)}}}\\label{{{grid.name}}}"
        columns = self.columns(grid)
        if len(grid.rows) >= LONG:
            return "\n".join(
                [
                    f"{{\\small\n\\begin{{longtable}}{{{columns}}}",
                    f"{caption} \\\\",
                    f"\\toprule\n{head}\n\\midrule\n\\endfirsthead",
                    f"\\toprule\n{head}\n\\midrule\n\\endhead",
                    "\\bottomrule\n\\endfoot",
                    *body,
                    "\\end{longtable}\n}",
                ]
            )
        return "\n".join(
            [
                f"\\begin{{table}}[htbp]\n\\centering\\small\n{caption}",
                f"\\fitted{{\\begin{{tabular}}{{{columns}}}",
                f"\\toprule\n{head}\n\\midrule",
                *body,
                "\\bottomrule\n\\end{tabular}}\n\\end{table}",
            ]
        )

    def columns(self, grid: Grid) -> str:
        """Columns of long text share the line and break; the others are as wide as they are."""
        lengths = [
            max([len(name), *(len(self.bare(row[place])) for row in grid.rows)])
            for place, name in enumerate(grid.columns)
        ]
        wide = [length for length in lengths if length > WIDE]
        left = max(0.3, 0.91 - 0.012 * sum(length for length in lengths if length <= WIDE))
        share = left / max(len(wide), 1)
        text = f">{{\\raggedright\\arraybackslash}}p{{{share:.2f}\\linewidth}}"
        numbers = [
            any(isinstance(cell, Cell) and cell.value is not None for cell in column)
            for column in zip(*grid.rows, strict=True)
        ] or [False] * len(lengths)
        return "".join(
            text if length > WIDE else "r" if number else "l"
            for length, number in zip(lengths, numbers, strict=True)
        )

    def bare(self, cell: Cell | Author) -> str:
        return plain(cell.spans) if isinstance(cell, Cell) else self.document.text_of(cell)

    def cell(self, cell: Cell | Author) -> str:
        if isinstance(cell, Cell):
            return self.spans(cell.spans)
        text = author_inline(self.document.text_of(cell))
        return text if self.document.written(cell) else f"\\textbf{{{text}}}"

    def spans(self, spans: Spans) -> str:
        return "".join(escaped(s) if isinstance(s, str) else self.mark(s) for s in spans)

    def mark(self, mark: Mark) -> str:
        if mark.kind == "math":
            return f"${mark.text}$"
        if mark.kind == "cite":
            return f"\\cite{{{mark.text.replace(';', ',')}}}"
        if mark.kind == "ref":
            label = self.labels[mark.text]
            kind = label.partition(" ")[0]
            if kind in ("Table", "Figure") and label.rpartition(" ")[2].isdecimal():
                return f"{kind}~\\ref{{{mark.text}}}"
            return f"\\hyperref[{mark.text}]{{{escaped(label)}}}"
        command = {"bold": "textbf", "struck": "struck", "code": "texttt"}[mark.kind]
        return f"\\{command}{{{escaped(mark.text)}}}"

    def references(self) -> str:
        entries = [
            f"\\bibitem{{{key}}} {escaped(self.document.references[key])}"
            for key, _ in sorted(self.numbers.items(), key=lambda one: one[1])
        ]
        if not entries:
            return ""
        body = "\n".join(entries)
        return f"\\begin{{thebibliography}}{{99}}\n{body}\n\\end{{thebibliography}}"
