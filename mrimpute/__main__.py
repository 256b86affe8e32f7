"""`python -m mrimpute`, and the `mrimpute` command: signals are heard before anything large is imported."""

import gc
import os
import sys
from contextlib import suppress

from mrimpute import signals

LIBRARY_SETTINGS = {"THP_MEM_ALLOC_ENABLE": "1", "OMP_WAIT_POLICY": "PASSIVE"}
"""What PyTorch's libraries read once, when they are loaded, unless the user has set it: its large maps in large pages,
a third of their cost; threads that sleep while they wait, because spinning ones take the cores from those that work."""


def main() -> None:
    """Run the command line; after a signal end at once, without waiting for a thread that still reads."""
    signals.install()
    for name, value in LIBRARY_SETTINGS.items():
        os.environ.setdefault(name, value)
    try:
        from mrimpute.device import keep_memory

        keep_memory()
        from mrimpute.cli.app import main as run

        run()
    except BaseException as end:  # a signal while a class is made comes as a RuntimeError
        code = signals.arrived()
        if code is None:
            raise
        if not isinstance(end, SystemExit):
            print("mrimpute: stopped by a signal; nothing half-written is left", file=sys.stderr)
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError):
                stream.flush()
        os._exit(code)
    finally:
        gc.freeze()  # else Python looks for circles in all of PyTorch before it ends: half a second


if __name__ == "__main__":
    main()
