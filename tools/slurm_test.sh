#!/usr/bin/env bash
# slurm_test.sh PARTITION JOB_NAME CONFIG CHECKPOINT [options of test.py]; variables as in slurm_train.sh.
set -euo pipefail
: "${4:?usage: slurm_test.sh PARTITION JOB_NAME CONFIG CHECKPOINT [options of test.py]}"
GPUS="${GPUS:-8}"
per_node="${GPUS_PER_NODE:-$((GPUS < 8 ? GPUS : 8))}"
# shellcheck disable=SC2086  # SRUN_ARGS are several words.
srun --partition="$1" --job-name="$2" --ntasks="$GPUS" --ntasks-per-node="$per_node" \
    --gres="gpu:$per_node" --cpus-per-task="${CPUS_PER_TASK:-5}" --kill-on-bad-exit=1 ${SRUN_ARGS:-} \
    python -u "$(dirname "$0")/test.py" "$3" "$4" --launcher slurm "${@:5}"
