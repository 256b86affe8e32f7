"""Try everything that must not lose, mix up or damage an image, count, and print the table.

    python tests/reliability/run.py                     all of it, with the full counts (about two hours of one core)
    python tests/reliability/run.py --quick             the reduced set that the suite runs (a minute)
    python tests/reliability/run.py --only kills calls  some items
    python tests/reliability/run.py --scale 0.1         a tenth of the counts

It needs Linux. As root it mounts small file systems; strace and atheris are used where they are installed. What cannot
be tried on this machine is said in the table. The exit code is 1 where something did not hold.
"""

import argparse
import os
import sys
import tempfile
import warnings
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def main() -> None:
    """Read the words, try, and print."""
    from tests.reliability.items import ITEMS, Counts, rows
    from tests.reliability.tally import table

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=ITEMS, default=list(ITEMS), metavar="ITEM", help=", ".join(ITEMS))
    parser.add_argument("--scale", type=float, default=1.0, help="share of the full counts")
    parser.add_argument("--quick", action="store_true", help="the reduced set")
    words = parser.parse_args()
    warnings.simplefilter("ignore")
    done = []
    with tempfile.TemporaryDirectory(prefix="reliability-") as folder:
        for row in rows(Path(folder), words.only, Counts(words.scale, words.quick)):
            done.append(row)
            print(f"{row.item}: {row.held} of {row.tried}; {row.note}", file=sys.stderr, flush=True)
    print(table(done))
    sys.exit(any(row.found for row in done))


if __name__ == "__main__":  # nothing is imported before: forked command lines import mrimpute themselves
    sys.path.insert(0, str(ROOT))
    os.environ |= {"OMP_NUM_THREADS": "1", "MRIMPUTE_THREADS": "1", "PYTHONPATH": str(ROOT)}
    main()
