package engine_test

import (
	"fmt"
	"math"
	"reflect"
	"strings"
)

// difference tells where the results of an operation differ from StdEng's. One NaN
// is as good as another.
func difference[T float32 | float64](got, want any, op operation, incr bool) string {
	a, ok := got.([]T)
	if !ok {
		if !reflect.DeepEqual(got, want) {
			return fmt.Sprintf("%v, not %v", got, want)
		}
		return ""
	}
	for i, w := range want.([]T) {
		g := float64(a[i])
		switch {
		case g == float64(w) && math.Signbit(g) == math.Signbit(float64(w)), g != g && w != w:
		case strings.HasPrefix(op.name, "Div") && math.IsInf(float64(w), 1) && g-g != 0:
			// StdEng divides by each zero to +Inf, also 0 and by -0.
		case incr && math.Abs(g-float64(w)) <= op.ulps*ulp(max(w, 16)): // the terms may cancel
		case !(math.Abs(g-float64(w)) <= op.ulps*ulp(w)):
			return fmt.Sprintf("element %d is %v, not %v", i, g, w)
		}
	}
	return ""
}

// ulp is the distance from a number to the next.
func ulp[T float32 | float64](x T) float64 {
	if _, ok := any(x).(float32); ok {
		f := float32(math.Abs(float64(x)))
		return float64(math.Nextafter32(f, float32(math.Inf(1))) - f)
	}
	return math.Nextafter(math.Abs(float64(x)), math.Inf(1)) - math.Abs(float64(x))
}
