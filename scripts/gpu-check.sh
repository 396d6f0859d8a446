#!/usr/bin/env bash
# Checks the native core on the machine it is run on, without Node: configures with CMake against the torch of Python, builds
# the native tests, the doctor's checks of ops and the benchmarks (with CUDA where torch and nvcc have it), runs them and
# writes one JSON.
#
#   scripts/gpu-check.sh [OUT.json]          default: gpu-check.json
#   PYTHON   the Python whose torch is used  (python3)
#   BUILD    folder of the build             (build/gpu-check)
#   JOBS     compilers at a time             (one per 1.5 GiB of free memory, at most the number of cores)
#   BENCH    --quick for three rounds of each benchmark and of the doctor's ops, nothing for longer ones
#
# Exit code: 0 when everything ran and every test passed; 3 when that holds but for what a card alone can show, which it
# lists; 2 when the machine lacks something to build with; else 1. All but 2 write the JSON.
set -uo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
out=${1:-gpu-check.json}
case $out in -*) sed -n '2,14s/^# \{0,1\}//p' "$0"; exit 2 ;; esac
python=${PYTHON:-python3}
build=${BUILD:-$root/build/gpu-check}
for tool in "$python" cmake "${CXX:-c++}"; do
  command -v "$tool" >/dev/null || { echo "gpu-check: $tool must be installed but is not" >&2; exit 2; }
done
share=$("$python" -c 'import torch; print(torch.utils.cmake_prefix_path)') ||
  { echo "gpu-check: $python must have torch 2.11 to 2.14 but does not import one (PYTHON names another)" >&2; exit 2; }
libtorch=$(cd "$share/../.." && pwd)
mkdir -p "$build" || exit 2

export GPU_CHECK_CUDA=OFF
if [ -e "$libtorch/lib/libtorch_cuda.so" ]; then
  GPU_CHECK_CUDA=ON
fi
generator=("Unix Makefiles")
command -v ninja >/dev/null && generator=(Ninja)
if [ -z "${JOBS:-}" ]; then
  kib=$(awk '/^MemAvailable:/ {print $2}' /proc/meminfo 2>/dev/null || echo 4000000)
  JOBS=$((kib / 1572864)); cores=$(getconf _NPROCESSORS_ONLN)
  [ "$JOBS" -gt "$cores" ] && JOBS=$cores
  [ "$JOBS" -lt 1 ] && JOBS=1
fi

# run NAME COMMAND...: its output goes to NAME.log (stderr, unless it is the output itself, to NAME.err), its exit code and
# seconds to NAME.rc.
run() {
  local name=$1 started=$SECONDS
  shift
  echo "gpu-check: $name ..." >&2
  "$@" >"$build/$name.log" 2>"$build/$name.err"
  local rc=$?
  echo "$rc $((SECONDS - started))" >"$build/$name.rc"
  [ $rc -eq 0 ] || { echo "gpu-check: $name ended with $rc:" >&2; tail -n 25 "$build/$name.log" "$build/$name.err" >&2; }
  return $rc
}
rm -f "$build"/{configure,build,tests,doctor,bench}.{log,err,rc}
run configure cmake -S "$root" -B "$build/cmake" -G "${generator[0]}" -DCMAKE_BUILD_TYPE=Release \
  -DEHR_JEPA_LIBTORCH="$libtorch" -DEHR_JEPA_CUDA="$GPU_CHECK_CUDA" &&
  run build cmake --build "$build/cmake" --target ehrjepa_test ehrjepa_doctor ehrjepa_bench --parallel "$JOBS" && {
  run tests "$build/cmake/ehrjepa_test"
  # shellcheck disable=SC2086 # a list of options
  run doctor "$build/cmake/ehrjepa_doctor" ${BENCH-}
  # shellcheck disable=SC2086 # BENCH is a list of options
  run bench "$build/cmake/ehrjepa_bench" --json ${BENCH-}
}
exec "$python" "$root/scripts/gpu_check_report.py" "$root" "$build" "$out"
