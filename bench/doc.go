// Package bench compares errorcell with the limit of the machine and with its
// peers, in one run:
//
//	make bench
//	make bench BENCH='LaplacianStep/impl=(generic|naive)' CPU=1
//
// Speed is a ratio between lines of one run, never a line alone.
package bench
