#!/usr/bin/env bash
# dist_train.sh CONFIG GPUS [options of train.py]; NNODES, NODE_RANK, MASTER_ADDR, PORT for several machines.
set -euo pipefail
: "${2:?usage: dist_train.sh CONFIG GPUS [options of train.py]}"
python -m torch.distributed.run \
    --nnodes="${NNODES:-1}" --node-rank="${NODE_RANK:-0}" \
    --master-addr="${MASTER_ADDR:-127.0.0.1}" --master-port="${PORT:-29500}" \
    --nproc-per-node="$2" \
    "$(dirname "$0")/train.py" "$1" --launcher pytorch "${@:3}"
