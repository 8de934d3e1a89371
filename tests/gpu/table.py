"""The results as one table of Markdown."""

from typing import Any

# Evaluations of a training that the table shows.
MOST_EVALUATIONS = 24
HOLDS = {None: "", True: "yes", False: "**no**"}


def table(held: dict[str, Any]) -> str:
    """A line that says where, and a row for every case of every stage."""
    machine = ", ".join(f"{value}" for value in held["machine"].values() if value)
    lines = [f"{machine}.", "", "| stage | case | found | as it has to be |", "|---|---|---|---|"]
    for name, stage in held["stages"].items():
        spent = f" after {stage['seconds']:.0f} s of {stage['limit_s']:.0f} s" if "seconds" in stage else ""
        lines.append(f"| {name} | | {stage['status']}{spent} | |")
        for row in _some(stage["rows"]) if name == "training" else stage["rows"]:
            words = " | ".join(str(cell).replace("|", "\\|") for cell in (row["case"], row["says"]))
            lines.append(f"| | {words} | {HOLDS[row['holds']]} |")
    return "\n".join(lines) + "\n"


def _some(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """All rows, or as many of them as fit, evenly, the first and the last among them."""
    last = len(rows) - 1
    if last < MOST_EVALUATIONS:
        return rows
    return [rows[round(last * place / (MOST_EVALUATIONS - 1))] for place in range(MOST_EVALUATIONS)]
