#!/usr/bin/env bash
# On a machine with a GPU: does it compute what the CPU computes, and how fast?
#
#   benches/gpu.sh [--device cuda:0] [--programs DIR] [--python PYTHON --script reference_timing.py] [--epochs 2]
#
# Builds the programs with the device's feature, or takes them from DIR (sclsd, stages, conformance), where another machine has
# put them with `benches/gpu.sh --device cuda:0 --build-into DIR`. Prints the conformance suite's table, then a table in Markdown: seconds per training
# step, of the Python package too where a Python with torch and the script that times it are given, utilisation and peak memory.
set -euo pipefail
top=$(cd "$(dirname "$0")/.." && pwd)
device=cuda:0 programs="" into="" python="" script="" epochs=2
while [ $# -gt 0 ]; do
  case "$1" in
    --device) device=$2 ;;
    --programs) programs=$(cd "$2" && pwd) ;;
    --build-into) into=$2 ;;
    --python) python=$2 ;;
    --script) script=$2 ;;
    --epochs) epochs=$2 ;;
    *) echo "error: $1 is not an option of $0" >&2; exit 2 ;;
  esac
  shift 2
done
feature=${device%%:*}
[ "$feature" = cpu ] && feature=flex

if [ -z "$programs" ]; then
  of_programs=() of_tests=()
  if [ "$feature" != flex ]; then
    of_programs=(--features "sclsd-benches/$feature,sclsd-cli/$feature") of_tests=(--features "$feature")
  fi
  (cd "$top" && cargo build --release --quiet -p sclsd-benches -p sclsd-cli --bins "${of_programs[@]}")
  test=$(cd "$top" && cargo test --release --quiet -p sclsd-tests "${of_tests[@]}" --test conformance --no-run --message-format json \
    | sed -n 's/.*"executable":"\([^"]*conformance[^"]*\)".*/\1/p')
  programs=${into:-$(mktemp -d)}
  mkdir -p "$programs"
  target=${CARGO_TARGET_DIR:-$top/target}
  cp "$target/release/sclsd" "$target/release/stages" "$programs/"
  cp "$test" "$programs/conformance"
  if [ -n "$into" ]; then exit 0; fi
fi

echo "== conformance on $device"
(cd "$top/tests" && "$programs/conformance" --test-threads=1 2>&1 | grep -E '\||SKIPPED|^test result|FAILED|panicked' || true)

# What the GPU is doing, once a second, in a file; nothing where there is no nvidia-smi.
work=$(mktemp -d)
watch=""
trap '[ -n "$watch" ] && kill "$watch" 2> /dev/null; rm -rf "$work"' EXIT
watching() {
  command -v nvidia-smi > /dev/null || return 0
  nvidia-smi --query-gpu=utilization.gpu,memory.used --format=csv,noheader,nounits --loop-ms=200 > "$work/gpu" &
  watch=$!
}
watched() {
  [ -n "$watch" ] || { echo "not seen | not seen"; return 0; }
  kill "$watch" 2> /dev/null || true
  watch=""
  awk -F, '{ u += $1; n += 1; if ($2 > m) m = $2 } END { if (n) printf "%.0f %% | %d MiB\n", u / n, m; else print "not seen | not seen" }' "$work/gpu"
}
figure() { sed -n "s/.*\"$1\": *\([0-9.eE+-]*\).*/\1/p"; }

echo "== training step on $device"
command -v nvidia-smi > /dev/null && nvidia-smi --query-gpu=name,driver_version --format=csv,noheader || echo "no nvidia-smi: neither utilisation nor memory is seen"
echo
echo "| genes | walks | ours, s | utilisation | device memory | Python package, s | ratio |"
echo "| --- | --- | --- | --- | --- | --- | --- |"
for genes in 2000 5000; do
  file=$work/$genes.h5ad
  "$programs/sclsd" --quiet simulate "$file" --cells 4000 --genes "$genes" > /dev/null
  for length in 10 50; do
    shape=(--path-len "$length" --walks 1024 --batch 256 --stages prior,walks,train --time-key prior_time)
    # one epoch less is taken off: what is compiled and tried out in it is not a step
    watching
    short=$("$programs/stages" "$file" "${shape[@]}" --epochs 1 --device "$device" --threads "$(nproc)" | figure train_s)
    long=$("$programs/stages" "$file" "${shape[@]}" --epochs $((epochs + 1)) --device "$device" --threads "$(nproc)" | figure train_s)
    seen=$(watched)
    ours=$(awk "BEGIN { printf \"%.4f\", ($long - $short) / (4 * $epochs) }")
    theirs="not run" ratio=""
    if [ -n "$python" ] && [ -n "$script" ] && "$python" -c 'import torch; assert torch.cuda.is_available()' 2> /dev/null; then
      sed 's/torch.device("cpu")/torch.device("cuda")/' "$script" > "$work/reference.py"
      short=$("$python" "$work/reference.py" "$file" "${shape[@]}" --epochs 1 | figure train_s)
      long=$("$python" "$work/reference.py" "$file" "${shape[@]}" --epochs $((epochs + 1)) | figure train_s)
      theirs=$(awk "BEGIN { printf \"%.4f\", ($long - $short) / (4 * $epochs) }")
      ratio=$(awk "BEGIN { printf \"%.1f\", $theirs / $ours }")
    fi
    echo "| $genes | 256 × $length | $ours | $seen | $theirs | $ratio |"
  done
done
