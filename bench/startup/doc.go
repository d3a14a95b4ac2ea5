// Package startup measures errorcell as a process, from its start to the result
// on the disk, on a batch so small that starting is what takes the time:
//
//	make bench BENCH=Startup
//	GOFLAGS=-tags=nvidia CGO_ENABLED=1 go test -run '^$' -bench . ./bench/startup
//
// The second line measures the program with CUDA; it needs the settings of
// errorcell/cmd/cudaenv.
package startup
