#!/usr/bin/env bash
# One command for a bare GPU machine without a network: build, check, sanitize, time; a short table last.
#
#   benchmarks/gpu.sh [--fit-scale 0.04] [--only-fit]
#
# --fit-scale s fits s · 2,560,000 × 3,072 latents (benchmarks/fit_gpu.py); --only-fit builds, fits and stops. The whole
# size, whose goal is 10 minutes: BRENIER_GPU_SECONDS=1200 benchmarks/gpu.sh --only-fit --fit-scale 1
#
# Needs python3 with torch, triton, numpy, pytest, hypothesis, scipy, pybind11 and scikit-build-core, and nvcc, CMake
# and ninja. Writes benchmarks/results/<gpu-name>.json, pairing- and fit-<gpu-name>.json; where $OUT is set, these and one log
# of all steps lie there as soon as they exist, so that a run cut short leaves what it had.
# Takes under 8 minutes: each step has a limit of its own, and none may use up what is kept for those after it.
# Without a working nvcc, and without an engine that fails its smoke test, the rest is measured all the same.
# Exit code 0 only if every step that could run passed.
set -uo pipefail
cd "$(dirname "$0")/.."

PYTHON="${PYTHON:-python3}"
LIMIT="${BRENIER_GPU_SECONDS:-470}"
FIT_SCALE=0.04 ONLY_FIT=0
while [ "$#" -gt 0 ]; do
  case "$1" in
    --fit-scale) FIT_SCALE="${2:?a scale}" && shift 2 ;;
    --only-fit) ONLY_FIT=1 && shift ;;
    *) echo "usage: benchmarks/gpu.sh [--fit-scale s] [--only-fit]; got $1" >&2; exit 2 ;;
  esac
done
SITE="$(mktemp -d)"
LOG="${OUT:-$(mktemp -d)}/gpu.log"
: >"$LOG"
trap 'rm -rf "$SITE"' EXIT
export PATH="$PATH:$(dirname "$(command -v "$PYTHON")"):/usr/local/cuda/bin"
export PYTHONPATH="$SITE${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1
export TRITON_INTERPRET=0 TRITON_CACHE_DIR="$SITE/triton"
touch "$SITE/began"
SUMMARY=()
FAILED=0

# note NAME CODE TEXT: one line of the summary, and the exit code.
note() {
  local state="ok"
  if [ "$2" -ne 0 ]; then state="FAILED ($2)"; FAILED=1; fi
  SUMMARY+=("$(printf '%-28s %-13s %4ss  %s' "$1" "$state" "$SECONDS" "$3")")
  printf '== %s: %s after %ss\n' "$1" "$state" "$SECONDS" >>"$LOG"
}

# allowed MOST KEPT: seconds that a step may take, so that KEPT are left for those after it.
allowed() {
  local left=$((LIMIT - SECONDS - $2))
  echo $((left < $1 ? left : $1))
}

# step NAME MOST KEPT COMMAND...: run it into the log, add its last line to the summary. No pipes: a process that a
# step leaves behind would hold them open.
step() {
  local name="$1" seconds from code
  seconds="$(allowed "$2" "$3")"
  shift 3
  if [ "$seconds" -lt 5 ]; then
    note "$name" 124 "not run: no time left"
    return 124
  fi
  from="$(wc -c <"$LOG")"
  timeout -k 5 "$seconds" "$@" >>"$LOG" 2>&1
  code=$?
  tail -c "+$((from + 1))" "$LOG" >"$SITE/last.log"
  [ "$code" -eq 0 ] || tail -n 25 "$SITE/last.log"
  note "$name" "$code" "$(tail -n 1 "$SITE/last.log" | cut -c1-100)"
  return "$code"
}

# measure NAME MOST KEPT COMMAND...: a step that writes results; its output is kept for the end.
measure() {
  step "$@"
  cp "$SITE/last.log" "$SITE/$1.table"
  [ -z "${OUT:-}" ] || find benchmarks/results -newer "$SITE/began" -name '*.json' -exec cp -f {} "$OUT"/ \;
}

# The steps first, what they measured last.
finish() {
  local table
  echo
  printf '%s\n' "${SUMMARY[@]}" "log: $LOG" | tee -a "$LOG"
  for table in "$SITE"/pairing*.table "$SITE"/fit*.table "$SITE"/benchmark*.table; do
    [ ! -s "$table" ] || { echo; tail -n 45 "$table"; }
  done
  exit "$FAILED"
}

build() {
  BRENIER_CUDA="$1" step "build, CUDA $1" 180 "$2" "$PYTHON" -m pip install --quiet --no-build-isolation --no-deps \
    --no-index --upgrade --target "$SITE" --config-settings "build-dir=$SITE/build" .
}

"$PYTHON" -c 'import sys, torch; sys.exit(0 if torch.cuda.is_available() else 2)' || {
  echo "no CUDA device: torch.cuda.is_available() is False, or torch is not installed for $PYTHON" >&2
  exit 2
}
step "machine" 60 0 "$PYTHON" benchmarks/gpu_machine.py

# A folder of its own on PYTHONPATH: no virtual environment, nothing written to the machine's packages.
build ON 250 || build OFF 200 || finish

if [ "$ONLY_FIT" -eq 1 ]; then
  measure "fit" "$LIMIT" 0 "$PYTHON" benchmarks/fit_gpu.py --scale "$FIT_SCALE"
  finish
fi

# One small call of each kernel before anything long: what is broken says so here. An engine that fails is measured
# last and in a process of its own: a kernel that traps takes all that its process does on the GPU along.
WORKING=() BROKEN=()
for engine in cuda triton; do
  if step "smoke $engine" 100 220 "$PYTHON" benchmarks/gpu_case.py "$engine"; then
    WORKING+=("$engine")
  else
    BROKEN+=("$engine")
  fi
done

# Sanitizers run beside the tests: they are slow to load and leave most of the GPU idle.
SANITIZED=()
seconds="$(allowed 130 200)"
if [ "$seconds" -lt 20 ]; then
  note "compute-sanitizer" 124 "not run: no time left"
elif command -v compute-sanitizer >/dev/null; then
  for engine in "${WORKING[@]}"; do
    for tool in memcheck racecheck; do
      PYTORCH_NO_CUDA_MEMORY_CACHING=1 timeout -k 5 "$seconds" compute-sanitizer --tool "$tool" \
        --error-exitcode 9 "$PYTHON" benchmarks/gpu_case.py "$engine" >"$SITE/$tool-$engine.log" 2>&1 &
      SANITIZED+=("$!:$tool $engine")
    done
  done
else
  SUMMARY+=("compute-sanitizer            not here")
fi

WORKERS=()
"$PYTHON" -c 'import xdist' 2>/dev/null && WORKERS=(-n 6)
step "tests" 130 200 "$PYTHON" -m pytest -m gpu tests/engine tests/pair tests/solve -v --tb=short --durations=10 \
  -p no:cacheprovider -o addopts= --strict-markers "${WORKERS[@]}"

for entry in "${SANITIZED[@]}"; do
  name="${entry#*:}"
  log="$SITE/${name// /-}.log"
  wait "${entry%%:*}"
  code=$?
  cat "$log" >>"$LOG"
  if grep -q "Device not supported" "$log"; then
    SUMMARY+=("$(printf '%-28s %s' "$name" "cannot run on this machine: Device not supported")")
    continue
  fi
  [ "$code" -eq 0 ] || tail -n 15 "$log"
  note "$name" "$code" "$(grep -h -E 'ERROR SUMMARY|RACECHECK SUMMARY' "$log" | tail -n 1)"
done

for engine in "${WORKING[@]}"; do
  measure "pairing $engine" 40 130 "$PYTHON" benchmarks/pairing_gpu.py "$engine"
done
[[ " ${WORKING[*]} " != *" triton "* ]] || measure "fit" 70 90 "$PYTHON" benchmarks/fit_gpu.py --scale "$FIT_SCALE"
[ "${#WORKING[@]}" -eq 0 ] || measure "benchmark" 170 0 "$PYTHON" benchmarks/assign_gpu.py "${WORKING[@]}"
for engine in "${BROKEN[@]}"; do
  measure "benchmark $engine" 60 0 "$PYTHON" benchmarks/assign_gpu.py "$engine"
done
finish
