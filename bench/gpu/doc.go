// Package gpu measures the CUDA backend beside what the card itself can do: a
// step beside the driver's copy of as many bytes, launches, graphs, and copies
// from and to the host.
//
//	make gpu-check
//	go test -tags nvidia -run '^$' -bench . ./bench/gpu -device cuda:0 -sizes 4096,67108864
//
// The second line needs the settings of errorcell/cmd/cudaenv. With -device
// cuda:emulated and small sizes the benchmarks run without a GPU, to show that
// they work: such figures say nothing about one.
//
// run.sh is what make gpu-check runs and make gpu-bundle packs; jax_step.py
// measures the same step in JAX, and table.awk puts all lines in one table.
package gpu
