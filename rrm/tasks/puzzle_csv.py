"""The CSV files of the field: a header and the columns source, question, answer, rating; the rating may be empty.

The reader accepts the marks that spreadsheets and other systems leave: a byte order mark, UTF-16, line ends of any
kind, semicolons or tabs between the fields, blank lines, spaces around the fields, capitals in the header.
"""

import codecs
import csv
import math
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TextIO

import numpy as np

from rrm.errors import InputError
from rrm.files import one_line, refuse_disguised
from rrm.tasks import PuzzleSet, get_task
from rrm.tasks.distinct import first_of_each
from rrm.tasks.recognise import task_of_text

COLUMNS = ("source", "question", "answer", "rating")
# numpy stores every source at the length of the longest, four bytes a character; real names have up to 22.
LONGEST_SOURCE = 100
# Most characters of a line; a longer line is refused. csv allows 131,072 characters in a field, so that a row of four
# fields, every quote doubled, stays below.
LONGEST_LINE = 1 << 21
MOST_RATING = float(np.finfo(np.float32).max)


def read_puzzles(path: str | Path, rows: np.ndarray | None = None) -> PuzzleSet:
    """Read and check the puzzles of a CSV file. The first question decides the task (`rrm.tasks.recognise`).

    Args:
        path: The file.
        rows: int [N]: rows to read, from 0 below the header, in this order; None: all.

    Raises:
        InputError: at the first mistake, with the file and the line.
    """
    wanted = None if rows is None else set(rows.tolist())
    inputs, labels = bytearray(), bytearray()
    sources, ratings, lines, numbers = [], [], [], []
    task = None
    for number, (line, row) in enumerate(_records(path)):
        if wanted is not None and number not in wanted:
            continue
        place = f"{path} line {line}"
        if task is None:
            task = task_of_text(row["question"], place)
        for tokens, column in ((inputs, "question"), (labels, "answer")):
            try:
                tokens += task.encode(row[column]).tobytes()
            except InputError as error:
                raise InputError(f"{place}: {column}: {error}") from None
        ratings.append(_rating(row["rating"], place))
        sources.append(_source(row["source"], place))
        lines.append(line)
        numbers.append(number)
    if task is None:
        raise InputError(f"{path}: no puzzle to read; give a file with rows of {','.join(COLUMNS)} below the header")
    shape = (len(lines), task.seq_len)
    questions, answers = (np.frombuffer(tokens, np.uint8).reshape(shape) for tokens in (inputs, labels))
    puzzles = PuzzleSet.of(task.name, questions, answers, ratings, sources)
    task.check(puzzles, lambda i: f"{path} line {lines[i]}")
    return puzzles if rows is None else puzzles.subset(np.searchsorted(numbers, rows))


def count_rows(path: str | Path) -> int:
    """The number of rows below the header.

    Raises:
        InputError: on a malformed row.
    """
    return sum(1 for _ in _records(path))


def distinct_rows(path: str | Path) -> tuple[np.ndarray, int]:
    """(int [D]: the rows, from 0 below the header, whose question no earlier row has; the number of all rows).

    Raises:
        InputError: on a malformed row.
    """
    # A blank of a Sudoku has two spellings.
    questions = (row["question"].replace("0", ".").encode() for _, row in _records(path))
    return first_of_each(questions)


def write_puzzles(path: str | Path, puzzles: PuzzleSet) -> None:
    """Write a CSV file that `read_puzzles` reads back to the same content."""
    task = get_task(puzzles.task)
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for source, question, answer, rating in zip(
            puzzles.source, puzzles.inputs, puzzles.labels, puzzles.rating, strict=True
        ):
            number = "" if np.isnan(rating) else f"{rating:.9g}"
            writer.writerow((source, task.decode(question), task.decode(answer), number))


def _records(path: str | Path) -> Iterator[tuple[int, dict[str, str]]]:
    """The line number and the fields by column of every row."""
    header = None
    refuse_disguised(path, "CSV file")
    try:
        encoding = _encoding(path)
        delimiter = _delimiter(path, encoding)
        with open(path, encoding=encoding) as file:  # any line end is read as a newline
            reader = csv.reader(_lines(file), delimiter=delimiter)
            for row in reader:
                if not any(map(str.strip, row)):
                    continue
                place = f"{path} line {reader.line_num}"
                if header is None:
                    header = _header(row, place)
                    continue
                if len(row) != len(header):
                    size = "short" if len(row) < len(header) else "long"
                    raise InputError(
                        f"{place}: {size} row, it has {len(row)} of {len(header)} fields; give {','.join(header)}"
                    )
                yield reader.line_num, {column: _field(text) for column, text in zip(header, row, strict=True)}
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; give the path of a CSV file with {','.join(COLUMNS)}") from None
    except (OSError, UnicodeError, csv.Error) as error:
        raise InputError(
            f"{path}: not readable as CSV text in UTF-8 ({one_line(error)}); write the file again"
        ) from None
    if header is None:
        _header([], f"{path} line 1")


def _encoding(path: str | Path) -> str:
    with open(path, "rb") as file:
        start = file.read(2)
    return "utf-16" if start in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "utf-8-sig"


def _delimiter(path: str | Path, encoding: str) -> str:
    """The character between the columns of the header: where the comma is decimal, spreadsheets write semicolons."""
    with open(path, encoding=encoding) as file:
        header = next(filter(str.strip, _lines(file)), "")
    return max(",;\t", key=header.count)


def _lines(file: TextIO) -> Iterator[str]:
    return iter(partial(file.readline, LONGEST_LINE), "")


def _header(row: list[str], place: str) -> list[str]:
    columns = [_field(text).lower() for text in row]
    if sorted(columns) != sorted(COLUMNS):
        raise InputError(f"{place}: no header with the columns {','.join(COLUMNS)}; found {','.join(row[:8])!r:.80}")
    return columns


def _field(text: str) -> str:
    """A field without the spaces around it, and without quotes that these spaces hid from the reader."""
    if "S" in text and "#" in text:
        return text  # a maze, whose open cells are spaces
    stripped = text.strip()
    hidden = stripped != text and len(stripped) > 1 and stripped[0] == stripped[-1] == '"'
    return stripped[1:-1] if hidden else stripped


def _rating(text: str, place: str) -> float:
    if not text:
        return math.nan
    try:
        rating = float(text)
    except ValueError:
        raise InputError(f"{place}: rating {text!r:.40} is no number; give a number or leave the field empty") from None
    if not abs(rating) <= MOST_RATING:
        raise InputError(f"{place}: rating {text!r:.40} is no finite number; give one or leave the field empty")
    return rating


def _source(text: str, place: str) -> str:
    if len(text) > LONGEST_SOURCE or not text.isprintable():
        raise InputError(
            f"{place}: source {text!r:.40} is no name; give up to {LONGEST_SOURCE} printable characters, or none"
        )
    return sys.intern(text)
