"""A plain text line by line, with the blocks found so far: what Markdown, reStructuredText and code are read with."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from spadework.engines.local.document import Block


class Scan:
    """The lines of a text and where each starts. Spans are given in lines, `first` to before `last`."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.lines = text.split("\n")
        self.blocks: list[Block] = []
        self._starts: list[int] = []
        position = 0
        for line in self.lines:
            self._starts.append(position)
            position += len(line) + 1

    def add(self, first: int, last: int, kind: str = "text", level: int = 0, *, skip: int = 0) -> None:
        """Add the lines as one block, without white space around it and without `skip` characters before it."""
        start = self._starts[first] + skip
        end = self._starts[last - 1] + len(self.lines[last - 1])
        self.add_span(start, end, kind, level)

    def add_span(self, start: int, end: int, kind: str = "text", level: int = 0) -> None:
        """Add a span of the text as one block, without the white space around it."""
        raw = self.text[start:end]
        body = raw.strip()
        if body:
            start += len(raw) - len(raw.lstrip())
            self.blocks.append(Block(start, start + len(body), level, kind))

    def start(self, line: int) -> int:
        """Where a line starts."""
        return self._starts[line]

    def blank(self, line: int) -> bool:
        """Whether a line is empty, or past the end."""
        return line >= len(self.lines) or not self.lines[line].strip()

    def indent(self, line: int) -> int:
        """How many columns a line is indented; a tab counts four."""
        text = self.lines[line].expandtabs(4)
        return len(text) - len(text.lstrip())

    def deeper(self, line: int, columns: int) -> int:
        """The first line from `line` on that is neither blank nor indented by more than `columns`."""
        while line < len(self.lines) and (self.blank(line) or self.indent(line) > columns):
            line += 1
        return line

    def run(self, rules: Sequence[Callable[[Scan, int], int]], first: int = 0) -> list[Block]:
        """Apply to each line the first rule that takes it (that returns a later line); blank lines are passed over."""
        line = first
        while line < len(self.lines):
            if self.blank(line):
                line += 1
                continue
            line = next((after for rule in rules if (after := rule(self, line)) > line), line + 1)
        return self.blocks
