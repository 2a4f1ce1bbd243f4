#!/usr/bin/env bash
# One command for a bare GPU machine without a network: build, check, sanitize, time; a short table last.
#
#   benchmarks/gpu.sh
#
# Needs python3 with torch, triton, numpy, pytest, hypothesis, pybind11 and scikit-build-core, and nvcc, CMake and
# ninja on the PATH. Writes benchmarks/results/<gpu-name>.json, copies it and the logs to $OUT where that is set.
# Takes under 9 minutes; every step has its own limit (a kernel that hangs is stopped, by itself or by that limit).
# Exit code 0 only if every step that could run passed.
set -uo pipefail
cd "$(dirname "$0")/.."

PYTHON="${PYTHON:-python3}"
SITE="$(mktemp -d)"
LOGS="${OUT:-$(mktemp -d)}/gpu-logs"
mkdir -p "$LOGS"
trap 'rm -rf "$SITE"' EXIT
export PYTHONPATH="$SITE${PYTHONPATH:+:$PYTHONPATH}"
export TRITON_INTERPRET=0 BRENIER_CUDA=ON
export TRITON_CACHE_DIR="$SITE/triton"
SUMMARY=()
FAILED=0

# note NAME CODE TEXT: one line of the summary, and the exit code.
note() {
  local state="ok"
  if [ "$2" -ne 0 ]; then state="FAILED ($2)"; FAILED=1; fi
  SUMMARY+=("$(printf '%-28s %-13s %s' "$1" "$state" "$3")")
}

# step NAME SECONDS COMMAND...: run it, keep its log, add its last line to the summary.
step() {
  local name="$1" seconds="$2" log
  shift 2
  log="$LOGS/${name// /-}.log"
  timeout "$seconds" "$@" >"$log" 2>&1
  local code=$?
  [ "$code" -eq 0 ] || tail -n 25 "$log"
  note "$name" "$code" "$(tail -n 1 "$log" | cut -c1-100)"
  return "$code"
}

finish() {
  echo
  printf '%s\n' "${SUMMARY[@]}"
  [ -s "$LOGS/pairing.log" ] && { echo; tail -n 9 "$LOGS/pairing.log"; }
  [ -s "$LOGS/benchmark.log" ] && { echo; tail -n 45 "$LOGS/benchmark.log"; }
  [ -n "${OUT:-}" ] && cp -f benchmarks/results/*.json "$OUT"/ 2>/dev/null
  exit "$FAILED"
}

"$PYTHON" -c 'import sys, torch; sys.exit(0 if torch.cuda.is_available() else 2)' || {
  echo "no CUDA device: torch.cuda.is_available() is False, or torch is not installed for $PYTHON" >&2
  exit 2
}

# A folder of its own on PYTHONPATH: no virtual environment, nothing written to the machine's packages.
step "build" 180 "$PYTHON" -m pip install --quiet --no-build-isolation --no-deps --no-index \
  --target "$SITE" --config-settings "build-dir=$SITE/build" . || finish

# One small call of each engine before anything long: what is broken says so here, within seconds.
for engine in triton cuda; do
  step "smoke $engine" 45 "$PYTHON" benchmarks/gpu_case.py "$engine"
done

# Sanitizers start first, in the background: they are slow to load and leave most of the GPU idle.
SANITIZED=()
if command -v compute-sanitizer >/dev/null; then
  for engine in triton cuda; do
    for tool in memcheck racecheck; do
      PYTORCH_NO_CUDA_MEMORY_CACHING=1 timeout 130 compute-sanitizer --tool "$tool" --error-exitcode 9 \
        "$PYTHON" benchmarks/gpu_case.py "$engine" >"$LOGS/$tool-$engine.log" 2>&1 &
      SANITIZED+=("$!:$tool $engine")
    done
  done
else
  SUMMARY+=("compute-sanitizer            not here")
fi

WORKERS=()
"$PYTHON" -c 'import xdist' 2>/dev/null && WORKERS=(-n 6)
step "tests" 150 "$PYTHON" -m pytest -m gpu tests/engine tests/pair -q -p no:cacheprovider -o addopts= \
  --strict-markers "${WORKERS[@]}"

for entry in "${SANITIZED[@]}"; do
  name="${entry#*:}"
  log="$LOGS/${name// /-}.log"
  wait "${entry%%:*}"
  code=$?
  if grep -q "Device not supported" "$log"; then
    SUMMARY+=("$(printf '%-28s %s' "$name" "cannot run on this machine: Device not supported")")
    continue
  fi
  [ "$code" -eq 0 ] || tail -n 15 "$log"
  note "$name" "$code" "$(grep -h -E 'ERROR SUMMARY|RACECHECK SUMMARY' "$log" | tail -n 1)"
done

step "pairing" 60 "$PYTHON" benchmarks/pairing_gpu.py
step "benchmark" 170 "$PYTHON" benchmarks/assign_gpu.py
finish
