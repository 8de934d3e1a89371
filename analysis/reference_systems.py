"""Is the estimator right? Measured exponents of systems whose exponents are known, one line a value.

    python analysis/reference_systems.py [--only NAME ...] [--seed N]

Ends with exit code 1 if a value misses its tolerance: rounding for closed forms, three standard errors otherwise.
"""

import argparse
import sys

from rrm.errors import exit_on_bad_input


@exit_on_bad_input
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these systems (default: all)")
    parser.add_argument("--seed", type=int, default=0, help="of start states and random matrices")
    args = parser.parse_args()

    from rrm.toys.reference_systems import REFERENCE_SYSTEMS, measure_reference

    columns = "{:20} {:46} {:12} {:>11} {:>11} {:>9} {:>9}  {}"
    print(columns.format("system", "quantity", "kind", "measured", "exact", "error", "tolerance", "verdict"))
    failed = 0
    for name in args.only or REFERENCE_SYSTEMS:
        for row in measure_reference(name, args.seed):
            failed += not row.ok
            numbers = (f"{row.measured:.6f}", f"{row.exact:.6f}", f"{row.error:.1e}", f"{row.tolerance:.1e}")
            print(columns.format(name, row.quantity, row.kind, *numbers, "ok" if row.ok else "FAIL"), flush=True)
    if failed:
        print(f"{failed} value(s) outside the tolerance")
        sys.exit(1)


if __name__ == "__main__":
    main()
