"""Tables of a report: lines for a terminal, Markdown and CSV."""

import csv
from pathlib import Path


def table(rows: list[dict[str, str]]) -> list[str]:
    """Lines of a table whose columns are the keys of the first row; text left, numbers right."""
    columns = list(rows[0])
    width = {c: max(len(c), *(len(row[c]) for row in rows)) for c in columns}
    left = {c: not any(ch.isdigit() for row in rows for ch in row[c][-1:]) for c in columns}
    lines = ["  ".join(c.ljust(width[c]) if left[c] else c.rjust(width[c]) for c in columns)]
    for row in rows:
        lines.append("  ".join(row[c].ljust(width[c]) if left[c] else row[c].rjust(width[c]) for c in columns))
    return [line.rstrip() for line in lines]


def markdown_table(rows: list[dict[str, str]]) -> str:
    """The same rows as a table in Markdown, which MLflow's descriptions render."""
    lines = [list(rows[0]), ["---"] * len(rows[0]), *(list(row.values()) for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def write_csv(rows: list[dict[str, str]], path: Path) -> None:
    """The same rows as a CSV file."""
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
