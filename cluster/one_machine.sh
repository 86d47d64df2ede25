#!/usr/bin/env bash
# Run a sweep in tmux, so that it continues after you log out: cluster/one_machine.sh sweeps/cifar_grid.py --gpus 4
#
# The arguments are those of `cae-sweep run`. The same command attaches to a running sweep, or resumes it after it ended.
# Detach with Ctrl-b d; stop the sweep with `cae-sweep stop`. Needs tmux.
set -euo pipefail
[ $# -gt 0 ] || { sed -n '2,5s/^# //p' "$0"; exit 2; }
name="cae-sweep-$(basename "$1" .py)"
# The window stays open after the sweep ends. `-A` attaches to an existing session.
tmux new-session -A ${TMUX_OPTIONS:-} -s "$name" "cae-sweep run $(printf '%q ' "$@"); echo; echo 'ended: press Enter to close'; read -r _"
