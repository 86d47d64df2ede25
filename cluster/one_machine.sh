#!/usr/bin/env bash
# A sweep on this machine that outlives your login: cluster/one_machine.sh sweeps/cifar_grid.py --gpus 4
#
# All words go to `cae-sweep run`. The same words again attach to it while it runs, and go on with the sweep when it has ended.
# Leave it by Ctrl-b d; end it gently by `cae-sweep stop`. It needs tmux.
set -euo pipefail
[ $# -gt 0 ] || { sed -n '2,5s/^# //p' "$0"; exit 2; }
name="cae-sweep-$(basename "$1" .py)"
# The window stays when the sweep has ended, so that its last lines can be read. `-A` attaches where it is there already.
tmux new-session -A ${TMUX_OPTIONS:-} -s "$name" "cae-sweep run $(printf '%q ' "$@"); echo; echo 'ended: Enter closes this window'; read -r _"
