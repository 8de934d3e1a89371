"""Complete recipes as Python functions. A sweep or a script starts from one and changes what it studies."""

from rrm.models import variant
from rrm.tasks import Task
from rrm.training.recipe import Recipe


def cpu_sudoku(task: Task, model: str = "trm_mlp", **changes) -> Recipe:
    """A recursive reasoner that a CPU trains in about a minute: one layer of width 64, 6 calls a segment, 8 segments.

    On 6 x 6 Sudoku with 14 to 18 givens it solves about three quarters of unseen puzzles after 500 steps. `changes`
    replace fields of the recipe.
    """
    shape = {"vocab_size": task.vocab_size, "seq_len": task.seq_len, "hidden_size": 64, "num_heads": 4}
    settings = {
        "model": variant(model, **shape, H_cycles=2, L_cycles=2, L_layers=1),
        "budget": 12 * 32 * 500,  # call units per row and step x rows x steps
        "batch_size": 32,
        "lr": 4e-3,
        "weight_decay": 0.1,
        "warmup_steps": 50,
        "ema_decay": 0.99,
        "halt_max_steps": 8,
        "evaluations": 8,
    }
    return Recipe(**settings | changes)
