#!/usr/bin/env bash
# One Slurm array task per shard; all of them write into one output folder.
#
#     sbatch --array=1-16 examples/cluster/slurm_array.sh OPT_V2_DIR S1_DIR OUTPUT_DIR
#
# The shards need no order and no common start. Submit the same line again to go on after a failure
# or a time limit: finished tiles are left alone. The last shard writes the summary of all.
#SBATCH --job-name=axion-stage3
#SBATCH --cpus-per-task=8
#SBATCH --gpus-per-task=1
#SBATCH --mem=16G
#SBATCH --time=12:00:00
#SBATCH --signal=B:TERM@60
#SBATCH --output=axion-stage3-%A_%a.log
set -euo pipefail
opt_v2_dir="$1" s1_dir="$2" output_dir="$3"

# SLURM_ARRAY_TASK_COUNT counts the tasks that were submitted: use --array=1-N, from 1, without gaps.
shard="${SLURM_ARRAY_TASK_ID}/${SLURM_ARRAY_TASK_COUNT}"

# exec: SIGTERM, a minute before the time limit, reaches the run, which then ends cleanly.
exec axion-stage3 infer \
  --opt-v2-dir "$opt_v2_dir" \
  --s1-dir "$s1_dir" \
  --output-dir "$output_dir" \
  --shard "$shard" \
  --batch-size auto \
  --io-threads 4
