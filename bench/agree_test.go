package bench

import (
	"slices"
	"testing"
)

// TestImplementationsAgree: what is compared must compute the same.
func TestImplementationsAgree(t *testing.T) {
	const n = 4096
	results := func(im impl) (arrays, float32) {
		a := newArrays(n)
		r := im.make(t, a)
		defer r.close()
		if err := r.step(); err != nil {
			t.Fatal(err)
		}
		if err := r.fetch(a); err != nil {
			t.Fatal(err)
		}
		return a, r.loss()
	}
	want, wantLoss := results(impl{"naive", naive})
	for _, im := range impls {
		if im.name == "limit" { // which computes nothing
			continue
		}
		got, loss := results(im)
		if !slices.Equal(got.dmu, want.dmu) || !slices.Equal(got.dtarget, want.dtarget) || loss != wantLoss {
			t.Errorf("%s: dmu or dtarget differ from the naive loop's, or L: %v and %v", im.name, loss, wantLoss)
		}
	}
}
