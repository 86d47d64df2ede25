"""As many processes as slots, the trials back to back in each: nothing is asked for, kept or
shown."""

from __future__ import annotations

import subprocess
import sys

from benchmarks.peers.trials import SLOTS, TRIALS, train


def main() -> None:
    if len(sys.argv) > 1:
        for trial in TRIALS[int(sys.argv[1]) :: SLOTS]:
            train(**trial)
        return
    slots = [
        subprocess.Popen([sys.executable, "-m", "benchmarks.peers.ideal", str(slot)])
        for slot in range(SLOTS)
    ]
    if any([slot.wait() for slot in slots]):  # noqa: C419  all are waited for
        sys.exit(1)


if __name__ == "__main__":
    main()
