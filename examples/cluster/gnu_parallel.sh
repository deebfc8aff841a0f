#!/usr/bin/env bash
# One process per shard with GNU parallel, on this machine or on several that share the folders.
#
#     examples/cluster/gnu_parallel.sh OPT_V2_DIR S1_DIR OUTPUT_DIR [N_SHARDS] [PARALLEL_OPTION...]
#
# N_SHARDS is 4 unless given. On a machine with several GPUs, give one to each job slot:
#
#     CUDA_PER_SLOT=1 examples/cluster/gnu_parallel.sh A/ B/ C/ 4
#
# On several machines, over ssh: ... 16 --sshlogin node1,node2,node3,node4 --jobs 4
set -euo pipefail
opt_v2_dir="$1" s1_dir="$2" output_dir="$3" n_shards="${4:-4}"
shift "$(($# < 4 ? $# : 4))"

devices=""
if [[ -n "${CUDA_PER_SLOT:-}" ]]; then
  devices='CUDA_VISIBLE_DEVICES=$(({%} - 1))'
fi

# --retries: a shard that was killed goes on where it was. Exit code 3 (some tiles failed) is a
# failure to parallel too; what is left of such a shard is nothing, so that trying again is cheap.
# Without threads of their own, the processes do not fight over the cores.
parallel --jobs "$n_shards" --retries 3 --line-buffer --tagstring "shard {}" "$@" \
  OMP_NUM_THREADS=1 $devices axion-stage3 infer \
  --opt-v2-dir "$(printf %q "$opt_v2_dir")" \
  --s1-dir "$(printf %q "$s1_dir")" \
  --output-dir "$(printf %q "$output_dir")" \
  --shard "{}/$n_shards" ::: $(seq "$n_shards")
