"""The puzzle graph: puzzles with their outcomes as nodes, joined by valid moves from one puzzle to another."""

from rrm.tasks.graph.graph import PuzzleGraph
from rrm.tasks.graph.moves import Moves
from rrm.tasks.graph.registry import moves_of

__all__ = ["Moves", "PuzzleGraph", "moves_of"]
