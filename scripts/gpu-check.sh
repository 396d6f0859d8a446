#!/usr/bin/env bash
# Checks the native core on the machine it is run on, without Node: configures with CMake against the torch of Python, builds
# with CUDA where torch and nvcc have it, runs what PARTS names and writes one JSON, after every part again.
#
#   scripts/gpu-check.sh [OUT.json]          default: gpu-check.json
#   PARTS    what to run once all is built   (card doctor tests steps bench)
#              card    every op and every way of training on the card against the CPU
#              doctor  each op timed and against its reference in float64, a process each: one that faults spoils no other
#              tests   the native tests, on the CPU and on pretend devices
#              steps   training steps of Qwen3-1.7B's shape on the card, beside transformers where Python has it
#              bench   ops of the CPU beside libtorch's own
#   LIMIT    seconds for all of it           (none) a build that it breaks off goes on where it was when run again
#   PYTHON   the Python whose torch is used  (python3)
#   BUILD    folder of the build             (build/gpu-check)
#   JOBS     compilers at a time             (one per 1.5 GiB of free memory, at most the number of cores)
#   ARCHITECTURES  to compile kernels for    (the cards' own; without a card all of native/cmake/cuda_architectures.txt)
#   BENCH    --quick for three rounds of each benchmark and of the doctor's ops, nothing for longer ones
#
# Exit code: 0 when everything ran and every test passed; 3 when that holds but for what a card alone can show, or for parts
# that PARTS leaves out, which it lists; 2 when the machine lacks something to build with; else 1. All but 2 write the JSON.
set -uo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
out=${1:-gpu-check.json}
case $out in -*) sed -n '2,24s/^# \{0,1\}//p' "$0"; exit 2 ;; esac
python=${PYTHON:-python3}
build=${BUILD:-$root/build/gpu-check}
export GPU_CHECK_PARTS=${PARTS:-card doctor tests steps bench}
for part in $GPU_CHECK_PARTS; do
  case $part in card | doctor | tests | steps | bench) ;; *)
    echo "gpu-check: PARTS must be of card, doctor, tests, steps and bench but has $part" >&2; exit 2 ;;
  esac
done
for tool in "$python" cmake "${CXX:-c++}"; do
  command -v "$tool" >/dev/null || { echo "gpu-check: $tool must be installed but is not" >&2; exit 2; }
done
share=$("$python" -c 'import torch; print(torch.utils.cmake_prefix_path)') && [ -n "$share" ] ||
  { echo "gpu-check: $python must have torch 2.11 to 2.14 but does not import one (PYTHON names another)" >&2; exit 2; }
libtorch=$(cd "$share/../.." && pwd)
mkdir -p "$build" || exit 2

export GPU_CHECK_CUDA=OFF
if [ -e "$libtorch/lib/libtorch_cuda.so" ]; then
  GPU_CHECK_CUDA=ON
  # A card's own kernels alone: as machine code for it, without PTX for others, in a fraction of the time.
  ARCHITECTURES=${ARCHITECTURES-$("$python" - "$root/native/cmake/cuda_architectures.txt" <<'PYTHON'
import sys
import torch
known = {line.strip().rstrip("a"): line.strip() for line in open(sys.argv[1]) if line.strip()}
cards = range(torch.cuda.device_count() if torch.cuda.is_available() else 0)
found = {"{}{}".format(*torch.cuda.get_device_capability(card)) for card in cards}
# One that has no kernels of its own runs the PTX, which is built with all of them.
print(";".join(sorted(known[card] for card in found)) if found <= known.keys() else "")
PYTHON
  )}
fi
generator=("Unix Makefiles")
command -v ninja >/dev/null && generator=(Ninja)
if [ -z "${JOBS:-}" ]; then
  kib=$(awk '/^MemAvailable:/ {print $2}' /proc/meminfo 2>/dev/null || echo 4000000)
  JOBS=$((kib / 1572864)); cores=$(getconf _NPROCESSORS_ONLN)
  [ "$JOBS" -gt "$cores" ] && JOBS=$cores
  [ "$JOBS" -lt 1 ] && JOBS=1
fi

report() { "$python" "$root/scripts/gpu_check_report.py" "$root" "$build" "$out" "$@"; }
# Seconds that are left, less twenty for the reports; without a LIMIT a day.
left() { [ -n "${LIMIT:-}" ] && echo $((LIMIT - SECONDS > 21 ? LIMIT - SECONDS - 20 : 1)) || echo 86400; }
# run NAME COMMAND...: its output goes to NAME.log (stderr, unless it is the output itself, to NAME.err), its exit code and
# seconds to NAME.rc. One that outlasts LIMIT ends with 124.
run() {
  local name=$1 started=$SECONDS given
  given=$(left)
  shift
  echo "gpu-check: $name ..." >&2
  timeout --kill-after=10 "$given" "$@" >"$build/$name.log" 2>"$build/$name.err"
  local rc=$?
  echo "$rc $((SECONDS - started))" >"$build/$name.rc"
  echo "gpu-check: $name took $((SECONDS - started)) s" >&2
  if [ $rc -ne 0 ]; then
    if [ $((SECONDS - started)) -ge "$given" ]; then
      echo "gpu-check: $name was broken off: LIMIT gave it $given s. A build goes on where it was when run again; the end of its output:" >&2
    else
      echo "gpu-check: $name ended with $rc:" >&2
    fi
    tail -n 25 "$build/$name.log" "$build/$name.err" >&2
  fi
  return $rc
}
rm -f "$build/machine.json" "$build"/{configure,build,card,doctor,tests,steps,bench}.{log,err,rc}
targets=(ehrjepa_test ehrjepa_doctor ehrjepa_bench)
[ $GPU_CHECK_CUDA = ON ] && targets+=(ehrjepa_card_test)
run configure cmake -S "$root" -B "$build/cmake" -G "${generator[0]}" -DCMAKE_BUILD_TYPE=Release \
  -DEHR_JEPA_LIBTORCH="$libtorch" -DEHR_JEPA_CUDA="$GPU_CHECK_CUDA" \
  -DEHR_JEPA_CUDA_ARCHITECTURES="${ARCHITECTURES:-}" &&
  run build cmake --build "$build/cmake" --target "${targets[@]}" --parallel "$JOBS" &&
  for part in $GPU_CHECK_PARTS; do
    case $part in
      card) [ $GPU_CHECK_CUDA = ON ] && run card "$build/cmake/ehrjepa_card_test" ;;
      tests) run tests "$build/cmake/ehrjepa_test" ;;
      # shellcheck disable=SC2086 # BENCH is a list of options
      doctor) run doctor "$python" "$root/scripts/gpu_check_doctor.py" "$build/cmake/ehrjepa_doctor" ${BENCH-} ;;
      steps) run steps "$python" "$root/scripts/gpu_check_steps.py" "$build/cmake/ehrjepa_bench" "$root" "$(left)" ;;
      # shellcheck disable=SC2086
      bench) run bench "$build/cmake/ehrjepa_bench" --json ${BENCH-} ;;
    esac
    report --so-far >/dev/null
  done
report
