"""Puzzles as text: one character a cell, row by row."""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from rrm.errors import InputError

UNKNOWN = 255  # no token: the entry of characters that are not part of the text form


@dataclass(frozen=True)
class TextForm:
    """The characters of one task's tokens. Token 0 is padding and has no character of its own ('?' when decoded)."""

    task: str
    cells: int
    characters: str  # the characters of the tokens 1, 2, ...
    allowed: str  # the characters in words, for a message
    variants: dict[str, int] = field(default_factory=dict)  # further spellings of tokens

    @cached_property
    def _tokens(self) -> np.ndarray:
        """The token of every ASCII character."""
        table = np.full(128, UNKNOWN, np.uint8)
        for token, character in enumerate(self.characters, start=1):
            table[ord(character)] = token
        for character, token in self.variants.items():
            table[ord(character)] = token
        return table

    def encode(self, text: str) -> np.ndarray:
        """uint8 tokens [S] of a text.

        Raises:
            InputError: on a wrong length or character.
        """
        if len(text) != self.cells:
            raise InputError(f"{len(text)} characters for a {self.task} grid; give {self.cells}, one for each cell")
        codes = np.frombuffer(text.encode("ascii", "replace"), np.uint8)
        tokens = self._tokens[codes]
        wrong = tokens == UNKNOWN
        if wrong.any():
            cell = int(wrong.argmax())
            raise InputError(
                f"unknown character {text[cell]!r} in cell {cell + 1} of a {self.task} grid; use {self.allowed}"
            )
        return tokens

    def decode(self, tokens: np.ndarray) -> str:
        """The text of tokens [S]."""
        characters = "?" + self.characters
        return "".join(characters[token] for token in tokens)
