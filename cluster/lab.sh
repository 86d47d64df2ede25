#!/usr/bin/env bash
# A cluster of a few machines in one network, by `ray start`.
#
#   cluster/lab.sh head              on one of them: starts it, prints what to do on the others
#   cluster/lab.sh worker HEAD_IP    on each of the others
#   cluster/lab.sh stop              on any: it leaves the cluster; on the head, the cluster ends
#
# What to change, by environment variables:
#   NODE_IP       this host's address in the network of the others   (default: what Ray finds)
#   NUM_CPUS      CPU cores for trials                               (default: all)
#   NUM_GPUS      GPUs for trials                                    (default: all)
#   BLOCK=1       stay in the foreground, as a service does
#   PORT          of the head                                        (default: 6379)
#   DASHBOARD_IP  where the dashboard listens. Leave it on 127.0.0.1 and come by `ssh -L 8265:localhost:8265 HEAD`
#   RAY_AUTH_TOKEN_PATH  the token that all hosts share              (default: ~/.ray/auth_token)
#
# Same Python, torch, ray and numpy on all hosts; open the network between them to nobody else.
set -euo pipefail
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH=${RAY_AUTH_TOKEN_PATH:-$HOME/.ray/auth_token} RAY_USAGE_STATS_ENABLED=0
options=(${NODE_IP:+--node-ip-address="$NODE_IP"} ${NUM_CPUS:+--num-cpus="$NUM_CPUS"} ${NUM_GPUS:+--num-gpus="$NUM_GPUS"} ${BLOCK:+--block})

case ${1:-} in
head)
  if [ ! -s "$RAY_AUTH_TOKEN_PATH" ]; then  # whoever has it may run code on every host
    (umask 077 && mkdir -p "$(dirname "$RAY_AUTH_TOKEN_PATH")" && python3 -c 'import secrets; print(secrets.token_hex(32), end="")' >"$RAY_AUTH_TOKEN_PATH")
  fi
  echo "on each of the other hosts: copy $RAY_AUTH_TOKEN_PATH there (scp -p), then: cluster/lab.sh worker ${NODE_IP:-HEAD_IP}"
  echo "then here:                  cae-sweep run SWEEP --address auto --out /a/disk/that/all/share (RAY_AUTH_MODE=token)"
  exec ray start --head --port="${PORT:-6379}" --dashboard-host="${DASHBOARD_IP:-127.0.0.1}" --dashboard-port=8265 \
    --disable-usage-stats "${options[@]}"
  ;;
worker)
  [ -n "${2:-}" ] || { echo "cluster/lab.sh worker HEAD_IP" >&2; exit 2; }
  [ -s "$RAY_AUTH_TOKEN_PATH" ] || { echo "$RAY_AUTH_TOKEN_PATH is not here: copy it from the head" >&2; exit 2; }
  exec ray start --address="$2:${PORT:-6379}" --disable-usage-stats "${options[@]}"
  ;;
stop)
  exec ray stop
  ;;
*)
  sed -n '2,7s/^# \{0,1\}//p' "$0" >&2
  exit 2
  ;;
esac
