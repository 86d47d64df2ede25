"""One bare process per slot, which trains its trials one after the other and records nothing."""

from __future__ import annotations

import subprocess
import sys

from benchmarks.peers.trials import SLOTS, TRIALS, train


def main() -> None:
    if len(sys.argv) > 1:
        slot = int(sys.argv[1])
        for trial in TRIALS[slot::SLOTS]:
            train(**trial)
        return
    processes: list[subprocess.Popen[bytes]] = []
    for slot in range(SLOTS):
        command = [sys.executable, "-m", "benchmarks.peers.ideal", str(slot)]
        processes.append(subprocess.Popen(command))
    exit_codes = [process.wait() for process in processes]
    if any(exit_codes):
        sys.exit(1)


if __name__ == "__main__":
    main()
