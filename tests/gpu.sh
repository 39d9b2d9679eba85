#!/usr/bin/env bash
# What only a GPU can show, step by step: usage gpu.sh FOLDER [STEP ...], all steps (some 15 minutes) if none is named.
# Each writes FOLDER/STEP.log and is cut off at its limit of seconds; the others go on. It needs atrous built for the
# GPU and this Python (docs/cuda.md), pytest, and for the benchmarks a PyTorch that uses the GPU.
set -uo pipefail
cd "$(dirname "$0")/.."
out=${1:?usage: gpu.sh FOLDER [STEP ...]}
shift
steps=" ${*:-all} "
mkdir -p "$out"
workers=$(python3 -c 'import xdist' 2>/dev/null && echo "-n auto" || true)
ran=0 failed=0

# step NAME SECONDS COMMAND ...
step() {
  [[ "$steps" == *" all "* || "$steps" == *" $1 "* ]] || return 0
  local begin=$SECONDS code=0
  timeout "$2" "${@:3}" >"$out/$1.log" 2>&1 || code=$?
  ran=$((ran + 1)) failed=$((failed + (code != 0)))
  printf '%s: exit code %s, %s s\n' "$1" "$code" "$((SECONDS - begin))"
  tail -n 3 "$out/$1.log"
}

step tests 240 python3 -m pytest $workers -k "cuda or hopper" --ignore tests/test_cuda_build.py
step networks 120 python3 benchmarks/gpu_networks.py --precision bfloat16 tf32
step bfloat16 120 python3 benchmarks/gpu_conv2d.py --precision bfloat16 --picture "$out/roofline.png"
step tf32 120 python3 benchmarks/gpu_conv2d.py --precision tf32
step graphs 60 python3 benchmarks/gpu_graphs.py
step racecheck 180 compute-sanitizer --tool racecheck --error-exitcode 1 python3 tests/cuda_sanitizer.py conv2d
step memcheck 180 compute-sanitizer --tool memcheck --error-exitcode 1 python3 tests/cuda_sanitizer.py
step kernels 60 python3 benchmarks/gpu_kernels.py
step float32 120 python3 benchmarks/gpu_conv2d.py --precision float32

[ "$ran" -gt 0 ] || { echo "no step is called$steps"; exit 2; }
[ "$failed" -eq 0 ]
