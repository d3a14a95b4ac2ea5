#!/bin/sh
# Measures all that docs/performance.md has tables of, on this machine, and
# writes the tables there. It takes some minutes: leave the machine alone.
#
#	make performance
#	COUNT=2 BENCHTIME=0.1s make performance     # rougher, and faster
set -eu
cd "$(dirname "$0")/.."
doc=docs/performance.md out=out/performance
threads=${THREADS:-$(nproc 2>/dev/null || getconf _NPROCESSORS_ONLN)}
count=${COUNT:-6} time=${BENCHTIME:-0.2s}
mkdir -p $out
go test -c -o $out/bench.test ./bench
go test -c -o $out/cpu.test ./backend/cpu

# run PROGRAM REGEXP THREADS OUT
run() {
	echo "measuring $2 on $3 threads" >&2
	GOMAXPROCS=$3 $out/"$1" -test.run '^$' -test.bench "$2" -test.benchmem -test.benchtime "$time" -test.count "$count" -test.timeout 0 >>$out/"$4"
}
# stat FILE ARGS: benchstat without the lines that name the machine.
stat() {
	file=$1
	shift
	go tool -modfile=tools/go.mod benchstat "$@" $out/"$file" | grep -v '^goos:\|^goarch:\|^pkg:\|^cpu:' || true
}
# put NAME: the input becomes the text between the marks of the name.
put() {
	cat >$out/"$1".table
	awk -v name="$1" -v table=$out/"$1".table '
		$0 == "<!-- " name " -->" { print; print "```"; while ((getline line < table) > 0) print line; print "```"; skip = 1; next }
		$0 == "<!-- end -->" { skip = 0 }
		!skip' $doc >$out/doc
	cp $out/doc $doc
}

rm -f $out/*.txt
for n in 1 $([ "$threads" = 1 ] || echo "$threads"); do
	run bench.test '^BenchmarkLaplacianStep$' "$n" step.txt
	run bench.test '^BenchmarkOfLimit$' "$n" limit.txt
	run bench.test '^BenchmarkKernels$' "$n" kernels.txt
done
run bench.test '^BenchmarkBroadcast$' 1 broadcast.txt
run cpu.test '^BenchmarkRun$|^BenchmarkWake$' "$threads" run.txt
go test -run '^$' -bench . -benchtime "$time" -count "$count" ./bench/startup >$out/startup.txt

{
	grep -m1 '^cpu:' $out/step.txt
	echo "threads: 1 and $threads; $(go version | cut -d' ' -f3-); $(uname -sr)"
	go run ./cmd/errorcell devices | grep '^cpu:'
} | put machine
stat step.txt -col /impl -filter '.unit:B/s' | put step
stat limit.txt -filter '.unit:limit/step' | put limit
stat kernels.txt -filter '.unit:limit/step' | put kernels
stat broadcast.txt -filter '.unit:full/broadcast' | put broadcast
stat run.txt -filter '.unit:sec/op' | put run
stat startup.txt -filter '.unit:(sec/op OR MB-peak)' -col /impl | put startup
if command -v "${PYTHON:-python3}" >/dev/null; then
	"${PYTHON:-python3}" bench/peers/run.py --rounds "${ROUNDS:-3}" --benchtime "$time" | tee $out/peers.txt >&2
	sed -n '/^GB\/s/,$p' $out/peers.txt | put peers
fi
