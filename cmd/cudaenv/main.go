// Command cudaenv prepares a CUDA build of errorcell, or of any module that
// imports it, and prints the two settings that the build needs:
//
//	eval "$(go run errorcell/cmd/cudaenv)"
//	go build -tags nvidia ./...
//
// With -w the line is a go env -w, which keeps the settings for good. Neither
// a CUDA toolkit nor a driver is needed; a C compiler is.
package main

import (
	"flag"
	"fmt"
	"os"

	"errorcell/backend/cuda/driver/setup"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "cudaenv:", err)
		os.Exit(1)
	}
}

func run() error {
	forGood := flag.Bool("w", false, "print a go env -w instead of an export")
	dir := flag.String("dir", "", "keep the generated headers in `folder` (default: errorcell in the user's cache)")
	flag.Usage = func() {
		fmt.Fprintf(flag.CommandLine.Output(), "usage: eval \"$(go run errorcell/cmd/cudaenv [-w] [-dir folder])\"\n\n"+
			"Prints what points cgo to CUDA's header, for go build -tags nvidia.\n\n")
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() > 0 {
		return fmt.Errorf("it takes no arguments, and was given %q", flag.Args())
	}
	root := *dir
	if root == "" {
		var err error
		if root, err = setup.DefaultRoot(); err != nil {
			return err
		}
	}
	folder, err := setup.Make(".", root)
	if err != nil {
		return err
	}
	settings, err := folder.Settings(".")
	if err != nil {
		return err
	}
	fmt.Println(settings.Shell(*forGood))
	return nil
}
