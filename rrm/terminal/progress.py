"""Progress on a terminal: a block of lines drawn in place, and a bar. Plain text where there is no terminal."""

import shutil
import sys
import time


def duration(seconds: float) -> str:
    """3725 -> "1:02:05", 65 -> "1:05"."""
    minutes, seconds = divmod(int(seconds + 0.5), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"


class Live:
    """A block of lines that is redrawn in place on a terminal, and printed now and then elsewhere."""

    def __init__(self, every_s: float | None = None):
        self.tty = sys.stdout.isatty()
        self.every_s = every_s or (0.5 if self.tty else 30.0)
        self.height, self.last = 0, 0.0

    def due(self) -> bool:
        """Whether it is time to draw again."""
        return time.monotonic() - self.last >= self.every_s

    def show(self, lines: list[str]) -> None:
        """Draw the lines."""
        self.last = time.monotonic()
        if self.tty:
            columns, rows = shutil.get_terminal_size()
            if len(lines) >= rows:  # a line above the screen cannot be drawn over
                lines = [*lines[:2], "...", *lines[len(lines) - max(1, rows - 4) :]]
            lines = [line[: columns - 1] for line in lines]
            sys.stdout.write(f"\x1b[{self.height}F\x1b[J" if self.height else "")
            self.height = len(lines)
        sys.stdout.write("\n".join(lines) + "\n" + ("" if self.tty else "\n"))
        sys.stdout.flush()


class Pace:
    """Time since the start, and the time that the rest takes at the same pace."""

    def __init__(self, total: float):
        self.total, self.began = total, time.monotonic()

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.began

    def left(self, done: float, before: float) -> str:
        """Time left ("1:05") with `done` done, of which `before` was done at the start; "?" before the first step."""
        return duration(self.elapsed / (done - before) * (self.total - done)) if done > before else "?"


class Bar:
    """Progress of a known amount of work, with the time left."""

    def __init__(self, title: str, total: int):
        self.title, self.total, self.done, self.before = title, total, 0, 0
        self.pace, self.live = Pace(total), Live()
        self._draw(force=False)

    def advance(self, amount: int, before: bool = False) -> None:
        """Count `amount` as done; `before`: an earlier process did it, and the pace leaves it out."""
        self.done += amount
        self.before += amount if before else 0
        self._draw(force=self.done >= self.total)

    def _draw(self, force: bool) -> None:
        filled = round(24 * self.done / self.total)
        bar = f"[{'#' * filled}{'.' * (24 - filled)}]  {self.done}/{self.total}"
        left = f", {self.pace.left(self.done, self.before)} left" if self.done < self.total else ""
        if force or self.live.due():
            self.live.show([f"{self.title}  {bar}  {duration(self.pace.elapsed)}{left}"])
