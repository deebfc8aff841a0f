#!/usr/bin/env bash
# Ground the example tiles on the command line, and read the summary.
#
#     examples/run_infer.sh [OUTPUT_DIR]
set -euo pipefail
cd "$(dirname "$0")/.."
output_dir="${1:-outputs/run_infer}"

axion-stage3 infer \
  --opt-v2-dir examples/tiles/opt_v2 \
  --s1-dir examples/tiles/s1 \
  --output-dir "$output_dir" \
  --batch-size 4 \
  --save-intermediate

# Standard output carries data only: here, one document that any JSON tool can read. Run again,
# the command finds everything done, so this costs a moment.
axion-stage3 infer \
  --opt-v2-dir examples/tiles/opt_v2 \
  --s1-dir examples/tiles/s1 \
  --output-dir "$output_dir" \
  --batch-size 4 \
  --save-intermediate \
  --quiet --json \
  | python -c 'import json, sys; print("change_mean:", json.load(sys.stdin)["summary"]["aggregate_stats"]["change_mean"])'
