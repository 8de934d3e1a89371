"""The time that is left counts what was done since the start, not what an earlier command had done."""

from rrm.terminal import progress


def test_a_resumed_bar_does_not_count_what_was_there(monkeypatch, capsys):
    now = 0.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    bar = progress.Bar("work", 100)
    bar.live.every_s = 0.0
    bar.advance(70, before=True)
    assert "70/100  0:00, ? left" in capsys.readouterr().out
    now = 30.0
    bar.advance(10)  # a third of the rest in half a minute
    assert "80/100  0:30, 1:00 left" in capsys.readouterr().out
