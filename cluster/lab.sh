#!/usr/bin/env bash
# A Ray cluster of a few machines in one network.
#
#   cluster/lab.sh head              start the cluster on this host; prints the commands for the others
#   cluster/lab.sh worker HEAD_IP    join the cluster, on each of the other hosts
#   cluster/lab.sh stop              leave the cluster; on the head, end it
#
# Environment variables:
#   NODE_IP       this host's address in the network of the others   (default: found by Ray)
#   NUM_CPUS      CPU cores for trials                               (default: all)
#   NUM_GPUS      GPUs for trials                                    (default: all)
#   BLOCK=1       stay in the foreground, for a service
#   PORT          port of the head                                   (default: 6379)
#   DASHBOARD_IP  address of the dashboard. Keep 127.0.0.1 and use `ssh -L 8265:localhost:8265 HEAD`
#   RAY_AUTH_TOKEN_PATH  token of all hosts                          (default: ~/.ray/auth_token)
#
# All hosts need the same versions of Python, torch, ray and numpy, in a network without other users.
set -euo pipefail
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH=${RAY_AUTH_TOKEN_PATH:-$HOME/.ray/auth_token} RAY_USAGE_STATS_ENABLED=0
options=(${NODE_IP:+--node-ip-address="$NODE_IP"} ${NUM_CPUS:+--num-cpus="$NUM_CPUS"} ${NUM_GPUS:+--num-gpus="$NUM_GPUS"} ${BLOCK:+--block})

case ${1:-} in
head)
  if [ ! -s "$RAY_AUTH_TOKEN_PATH" ]; then  # everybody with the token can run code on every host
    (umask 077 && mkdir -p "$(dirname "$RAY_AUTH_TOKEN_PATH")" && python3 -c 'import secrets; print(secrets.token_hex(32), end="")' >"$RAY_AUTH_TOKEN_PATH")
  fi
  echo "on each of the other hosts: copy $RAY_AUTH_TOKEN_PATH there (scp -p), then: cluster/lab.sh worker ${NODE_IP:-HEAD_IP}"
  echo "then here:                  cae-sweep run SWEEP --address auto --out /shared/disk (RAY_AUTH_MODE=token)"
  exec ray start --head --port="${PORT:-6379}" --dashboard-host="${DASHBOARD_IP:-127.0.0.1}" --dashboard-port=8265 \
    --disable-usage-stats "${options[@]}"
  ;;
worker)
  [ -n "${2:-}" ] || { echo "cluster/lab.sh worker HEAD_IP" >&2; exit 2; }
  [ -s "$RAY_AUTH_TOKEN_PATH" ] || { echo "$RAY_AUTH_TOKEN_PATH is missing: copy it from the head" >&2; exit 2; }
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
