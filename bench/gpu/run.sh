#!/bin/sh
# Checks a GPU and measures it, with no need of Go or a compiler: conformance,
# verify, compute-sanitizer and JAX where they are installed, and the benchmarks.
# It runs in the folder that make gpu-check or make gpu-bundle has made:
#
#	./run.sh
#	DEVICE=cuda:1 SIZES=4096,67108864 RESULTS=/tmp/results ./run.sh
#	DEVICE=cuda:emulated SIZES=small ./run.sh    # without a GPU, to see that it works
#
# Each check leaves a file in RESULTS. The exit status is 1 if one has failed.
set -u
cd "$(dirname "$0")" || exit 1

DEVICE=${DEVICE:-cuda:0}
if [ "${SIZES:-}" = small ]; then
	SIZES=256,4096 COUNT=${COUNT:-1} BENCHTIME=${BENCHTIME:-0.01}
fi
SIZES=${SIZES:-4096,65536,1048576,4194304,16777216,67108864,268435456}
COUNT=${COUNT:-3}            # samples of each benchmark, of which the table has the median
BENCHTIME=${BENCHTIME:-0.5}  # seconds of each sample
RESULTS=${RESULTS:-results}
PYTHON=${PYTHON:-python3}

# Asking for a device that cannot be had says why, in one line.
if ! ERRORCELL_DEVICE=$DEVICE ./errorcell devices >/dev/null; then exit 1; fi
mkdir -p "$RESULTS" || exit 1
failed=0

# check NAME COMMAND...: what it prints goes to RESULTS/NAME.txt.
check() {
	name=$1; shift
	echo "== $name: $*"
	if "$@" >"$RESULTS/$name.txt" 2>&1; then
		echo "   ok"
	else
		echo "   FAILED: see $RESULTS/$name.txt"; tail -n 5 "$RESULTS/$name.txt"; failed=1
	fi
}

check devices ./errorcell devices
command -v nvidia-smi >/dev/null && check nvidia-smi nvidia-smi -q
export ERRORCELL_TEST_DEVICES="$DEVICE"
check conformance ./cuda.test -test.v -test.run '^TestConformance$'
check verify ./errorcell verify --device "$DEVICE"

if command -v compute-sanitizer >/dev/null; then
	for tool in memcheck racecheck; do
		check "$tool" compute-sanitizer --tool "$tool" --error-exitcode 9 ./errorcell verify --device "$DEVICE"
	done
else
	echo "== memcheck, racecheck: skipped: there is no compute-sanitizer, which the CUDA toolkit has"
fi

check bench ./gpu.test -test.run '^$' -test.bench . -test.benchtime "${BENCHTIME}s" -test.count "$COUNT" -test.timeout 0 -device "$DEVICE" -sizes "$SIZES"

echo "jax: not run" >"$RESULTS/jax.txt"
number=${DEVICE#cuda}; number=${number#:}; number=${number%%,*}
# Else JAX takes most of the GPU's memory at once.
export XLA_PYTHON_CLIENT_PREALLOCATE=false
if "$PYTHON" -c 'import sys, jax; jax.devices("gpu")[int(sys.argv[1])]' "${number:-0}" 2>/dev/null; then
	check jax "$PYTHON" jax_step.py "$SIZES" "$BENCHTIME" "${number:-0}"
else
	echo "== jax: skipped: $PYTHON has no JAX that sees this GPU (PYTHON names another python)"
fi

check table awk -f table.awk "$RESULTS/bench.txt" "$RESULTS/jax.txt"
echo; cat "$RESULTS/devices.txt"; echo; cat "$RESULTS/table.txt"
exit $failed
