#!/usr/bin/env bash
# slurm_train.sh PARTITION JOB_NAME CONFIG [options of train.py]; GPUS, GPUS_PER_NODE, CPUS_PER_TASK,
# SRUN_ARGS as variables. With several jobs on one machine, give each a MASTER_PORT of its own.
set -euo pipefail
: "${3:?usage: slurm_train.sh PARTITION JOB_NAME CONFIG [options of train.py]}"
GPUS="${GPUS:-8}"
per_node="${GPUS_PER_NODE:-$((GPUS < 8 ? GPUS : 8))}"
# shellcheck disable=SC2086  # SRUN_ARGS are several words.
srun --partition="$1" --job-name="$2" --ntasks="$GPUS" --ntasks-per-node="$per_node" \
    --gres="gpu:$per_node" --cpus-per-task="${CPUS_PER_TASK:-5}" --kill-on-bad-exit=1 ${SRUN_ARGS:-} \
    python -u "$(dirname "$0")/train.py" "$3" --launcher slurm "${@:4}"
