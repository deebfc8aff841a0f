#!/usr/bin/env bash
# Train the bundled reference checkpoint: eleven parts, about six and a half hours of one core, but for the eighth, which is for a GPU.
#   bash examples/training/train_reference.sh DATA
# DATA holds s1/ and s2_truth/. The result is training/eleventh/last.safetensors. Stopped, the same command goes on.
set -euo pipefail
data="${1:?name the folder of the data: train_reference.sh DATA}"
here="$(dirname "$0")"

train() { # PART [COMMAND that runs it]
  local part="$1"
  shift
  if [ "$part" != first ]; then # the generators of surrogates are the same in all parts
    mkdir -p "training/$part"
    cp training/first/generators-*.safetensors "training/$part/"
  fi
  "$@" axion-stage3 train --data-dir "$data" --split-file "$here/reference_split.csv" \
    --config "$here/reference_$part.toml" --output-dir "training/$part"
}

average() { # FOLDER EARLIER SHARE_OF_THE_END
  python "$here/average_checkpoints.py" "$1/last.safetensors" "$2" "$1/average.safetensors" --share-of-late "$3"
}

# The average of a part's end with what there was earlier in it harms nearly right tiles less than its end.
train_and_average() { # PART MINUTES_OF_THE_EARLIER SHARE_OF_ITS_END
  local folder="training/$1"
  if [ ! -e "$folder/early.safetensors" ]; then
    train "$1" timeout --foreground --signal=INT "$2m" || [ $? -eq 124 ]
    cp "$folder/last.safetensors" "$folder/early.safetensors"
  fi
  train "$1"
  average "$folder" "$folder/early.safetensors" "$3"
}

train first
train_and_average second 17 0.8
train third
train_and_average fourth 17 0.75
train_and_average fifth 44 0.8
train sixth
train seventh
train eighth
average training/eighth training/seventh/last.safetensors 0.5
train ninth
train tenth
average training/tenth training/ninth/last.safetensors 0.6
train eleventh
