"""Markdown in one of two languages: every sentence is given in both, and the page keeps the one that is
wanted.

Both languages stand side by side in the chapters, so that neither can be forgotten.
"""

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple
from unicodedata import east_asian_width

Language = Literal["en", "zh"]


class Both(NamedTuple):
    """One text in both languages."""

    en: str
    zh: str

    def to(self, language: Language) -> str:
        """Return the text in one language."""
        return self.en if language == "en" else self.zh


Text = Both | str
NOTHING = Both("", "")


def split_title(title: str) -> Both:
    """Split a bilingual title, English before Chinese; what has only one language stands for both."""
    at = next((at for at, letter in enumerate(title) if "\u4e00" <= letter <= "\u9fff"), len(title))
    start = title.rfind(" ", 0, at) + 1 if at < len(title) else len(title)
    english, chinese = title[:start].strip(" ;,"), title[start:].strip(" ;,；，")
    return Both(english or chinese, chinese or english)


def joined(texts: Iterable[Text], en: str = ", ", zh: str = "、") -> Both:
    """Join texts, each language with its own sign between them."""
    both = [as_both(text) for text in texts]
    return Both(en.join(text.en for text in both), zh.join(text.zh for text in both))


def as_both(text: Text) -> Both:
    """Return a text in both languages; a plain one, such as a code, is the same in both."""
    return Both(text, text) if isinstance(text, str) else text


def code(text: str) -> str:
    """Return a value as a code span, whatever backticks, bars and blanks it holds."""
    if not text:
        return ""
    fence = "``" if "`" in text else "`"
    return f"{fence}{text}{fence}"


def _columns(text: str) -> int:
    """Return how many columns of a fixed-width font a text takes; a Chinese character takes two."""
    return sum(2 if east_asian_width(letter) in "WF" else 1 for letter in text)


class Page:
    """A document that is being written."""

    def __init__(self, language: Language) -> None:
        self.language: Language = language
        self._parts: list[str] = []
        self._chapter = 0
        self._section = 0

    def title(self, text: Text) -> None:
        """Write the document's title."""
        self._parts.append(f"# {self.text(text)}")

    def chapter(self, text: Text) -> None:
        """Begin a numbered chapter."""
        self._chapter, self._section = self._chapter + 1, 0
        self._parts.append(f"## {self._chapter}. {self.text(text)}")

    def section(self, text: Text) -> None:
        """Begin a numbered section."""
        self._section += 1
        self._parts.append(f"### {self._chapter}.{self._section} {self.text(text)}")

    def point(self, text: Text) -> None:
        """Begin a part of a section, without a number."""
        self._parts.append(f"#### {self.text(text)}")

    def say(self, en: str, zh: str) -> None:
        """Write a paragraph."""
        self._parts.append(en if self.language == "en" else zh)

    def items(self, texts: Sequence[Text]) -> None:
        """Write a list with bullets."""
        self._parts.append("\n".join(f"- {self.text(text)}" for text in texts))

    def steps(self, texts: Sequence[Text]) -> None:
        """Write a numbered list."""
        self._parts.append("\n".join(f"{n}. {self.text(text)}" for n, text in enumerate(texts, 1)))

    def table(self, heads: Sequence[Text], rows: Iterable[Sequence[Text]]) -> None:
        """Write a table; without rows there is none."""
        rows = list(rows)
        if not rows:
            return
        lines = [self._row(heads), "|" + "---|" * len(heads)]
        self._parts.append("\n".join([*lines, *map(self._row, rows)]))

    def drawing(self, text: Text) -> None:
        """Write something whose spaces and line ends count."""
        self._parts.append(f"```text\n{self.text(text)}\n```")

    def boxes(self, *rows: Sequence[Text]) -> None:
        """Draw rows of cells one below the other."""
        cells = [[self.text(cell) for cell in row] for row in rows]
        widths = [max(_columns(row[at]) for row in cells) for at in range(len(cells[0]))]
        line = "+" + "+".join("-" * (width + 2) for width in widths) + "+"
        drawn = [line]
        for row in cells:
            filled = [cell + " " * (width - _columns(cell)) for cell, width in zip(row, widths, strict=True)]
            drawn += ["| " + " | ".join(filled) + " |", line]
        self.drawing("\n".join(drawn))

    def hex(self, data: bytes) -> None:
        """Write bytes as hex in one unbroken line."""
        self._parts.append(f"```hex\n{data.hex().upper()}\n```")

    def text(self, text: Text) -> str:
        """Return a text in the page's language."""
        return as_both(text).to(self.language)

    def finished(self) -> str:
        """Return the whole page as Markdown."""
        return "\n\n".join(self._parts) + "\n"

    def _row(self, cells: Sequence[Text]) -> str:
        texts = [self.text(cell).replace("\n", " ").replace("|", "\\|") for cell in cells]
        return "| " + " | ".join(texts) + " |"
