package nvidia

import (
	"archive/zip"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func TestFindSaysHow(t *testing.T) {
	tool := Tool{"nvidia-no-such-package", "0.0", "nothing"}
	_, err := Find(tool, false)
	if !errors.Is(err, ErrMissing) || !strings.Contains(err.Error(), "-fetch") || !strings.Contains(err.Error(), tool.Package) {
		t.Errorf("the error does not say what is missing and how to get it: %v", err)
	}
}

func TestExtract(t *testing.T) {
	folder := t.TempDir()
	archive := filepath.Join(folder, "a.whl")
	f, err := os.Create(archive)
	if err != nil {
		t.Fatal(err)
	}
	w := zip.NewWriter(f)
	for _, name := range []string{"nvidia/bin/other", "nvidia/bin/tool"} {
		member, err := w.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := member.Write([]byte(name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), f.Close()); err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(folder, "tool")
	if err := extract(archive, "/bin/tool", to); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(to); err != nil || string(got) != "nvidia/bin/tool" {
		t.Errorf("extracted %q, %v", got, err)
	}
	if err := extract(archive, "/bin/missing", filepath.Join(folder, "missing")); err == nil {
		t.Error("a missing member is extracted without an error")
	}
}

func TestParseUsage(t *testing.T) {
	got := parseUsage(`ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function 'a' for 'sm_90'
ptxas info    : Function properties for a
    8 bytes stack frame, 4 bytes spill stores, 12 bytes spill loads
ptxas info    : Used 32 registers, used 1 barriers, 8 bytes cumulative stack size, 64 bytes smem
ptxas info    : Compiling entry function 'b' for 'sm_90'
ptxas info    : Function properties for b
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 18 registers, used 0 barriers, 368 bytes cmem[0]
`)
	want := []Usage{{Entry: "a", Registers: 32, Stack: 8, SpillStores: 4, SpillLoads: 12, Shared: 64}, {Entry: "b", Registers: 18}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("parsed %+v, want %+v", got, want)
	}
}

func TestLoops(t *testing.T) {
	got := Loops("\t.section\t.text.a,\"ax\",@progbits\n" + `
.L_x_0:
        /*0000*/                   S2R R20, SR_TID.X ;
.L_x_1:
        /*0010*/                   LDG.E.NA.128.CONSTANT R4, desc[UR8][R28.64] ;
        /*0020*/                   FADD R4, R4, -R8 ;
        /*0030*/              @!P4 STG.E.EF desc[UR8][R4.64], R13 ;
        /*0040*/              @!P2 BRA ` + "`(.L_x_1)" + ` ;
        /*0050*/               @P0 BRA ` + "`(.L_x_2)" + ` ;
        /*0060*/                   BRA ` + "`(.L_x_0)" + ` ;
.L_x_2:
        /*0070*/                   EXIT ;
.L_x_3:
        /*0080*/                   BRA ` + "`(.L_x_3)" + ` ;
`)
	want := map[string][]Loop{"a": {{Instructions: 4, Loads: map[int]int{128: 1}, Stores: map[int]int{32: 1}}}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("found %+v, want %+v", got, want)
	}
}
