"""Modular arithmetic: every pair once, right answers, an honest split."""

import numpy as np
import pytest

from rrm.errors import InputError
from rrm.tasks.modular import OPERATIONS, ModularArithmetic


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_pair_stands_once_with_its_answer(name):
    table = ModularArithmetic(7, (name,))
    a, _, b, _ = table.tokens.T
    assert len(np.unique(a * 7 + b)) == len(table.targets) == (42 if name == "divide" else 49)
    solves = {"add": a + b, "subtract": a - b, "multiply": a * b, "divide": a}[name]
    right = table.targets * b if name == "divide" else table.targets
    assert ((right - solves) % 7 == 0).all() and ((0 <= table.targets) & (table.targets < 7)).all()
    assert set(table.tokens[:, 1]) == {7} and set(table.tokens[:, 3]) == {8} == {table.vocab_size - 1}
    assert abs(table.train.sum() - 0.4 * len(a)) < 2


@pytest.mark.parametrize("name", OPERATIONS)
def test_twins_are_on_one_side(name):
    for twins in (True, False):
        table = ModularArithmetic(11, (name,), twins=twins)
        side = {(a, b): train for (a, _, b, _), train in zip(table.tokens.tolist(), table.train, strict=True)}
        apart = sum(side[a, b] != side[b, a] for a, b in side if (b, a) in side)
        assert (apart == 0) == (twins and OPERATIONS[name].commutative)


def test_operations_are_split_alike_and_alone():
    """The share is that of each operation, and the pairs that train do not depend on the others."""
    both = ModularArithmetic(13, ("add", "multiply"), 0.3, data_seed=4)
    assert both.vocab_size == 16 and both.classes == 13
    for number, name in enumerate(both.operations):
        alone, mine = ModularArithmetic(13, (name,), 0.3, data_seed=4), both.tokens[:, 1] == 13 + number
        assert (both.train[mine] == alone.train).all() and (both.targets[mine] == alone.targets).all()
    assert (ModularArithmetic(13, data_seed=1).train != ModularArithmetic(13, data_seed=2).train).any()
    assert ModularArithmetic(**both.to_dict()) == both and both.text(13 + 2) == "1 + 2 = 3 (mod 13)"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"p": 9, "operations": ("divide",)}, "p is 9, which is no prime"),
        ({"p": 1}, "p is 1: use a whole number from 2"),
        ({"operations": ("power",)}, "operation 'power' is unknown: use some of add, subtract, multiply, divide"),
        ({"operations": ("add", "add")}, "name at least one, and each at most once"),
        ({"train_share": 0.001}, "leaves none for training: use a larger share"),
        ({"p": 2, "operations": ("divide",), "train_share": 0.1}, "leaves none for training"),
        ({"train_share": 1.0}, "use a share between 0 and 1"),
        ({"data_seed": -1}, "data_seed is -1"),
    ],
)
def test_what_is_no_table_is_refused_in_one_line(settings, message):
    with pytest.raises(InputError, match=message) as refused:
        ModularArithmetic(**{"p": 7} | settings)
    assert "\n" not in str(refused.value)
