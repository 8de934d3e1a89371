"""Writing whole or not at all."""

import pytest

from rrm.files import file_hash, replacing


def test_a_file_is_replaced_when_the_block_succeeds_and_left_when_it_does_not(tmp_path):
    path = tmp_path / "a.json"
    path.write_text("old")
    for error in (OSError, KeyboardInterrupt):
        with pytest.raises(error), replacing(path) as unfinished:
            unfinished.write_text("half")
            raise error
        assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]
    # Two processes may write the same file; the one that is done last has it.
    with replacing(path) as first, replacing(path) as second:
        first.write_text("first")
        second.write_text("second")
        assert path.read_text() == "old" and first.parent == second.parent == tmp_path
    assert path.read_text() == "first" and list(tmp_path.iterdir()) == [path]
    assert file_hash(path) == "a7937b64b8caa58f03721bb6bacf5c78cb235febe0e70b1b84cd99541461a08e"
