package neurons_test

import (
	"math"
	"testing"

	"errorcell/backend"
	"errorcell/neurons"
)

func newReward(t testing.TB, units int, alpha float64, opts ...neurons.Option) *neurons.RewardErrorCell {
	t.Helper()
	c, err := neurons.NewRewardErrorCell("r0", units, alpha, opts...)
	must(t, err)
	t.Cleanup(func() { must(t, c.Close()) })
	return c
}

// TestRewardCell takes two steps and the end of an episode by hand; the numbers
// are exact.
func TestRewardCell(t *testing.T) {
	onEveryCPU(t, func(t *testing.T, dev backend.Device) {
		c := newReward(t, 2, 0.25, neurons.On(dev), neurons.WithWindow(2), neurons.WithBatchSize(2))
		must(t, c.Reward().SetFloat32s([]float32{4, 8, 0, -4}))
		must(t, c.AdvanceState(0, 1))
		wantValue(t, c.PredictionError(), []int{2, 2}, 4, 8, 0, -4)
		wantValue(t, c.Mean(), []int{2, 2}, 1, 2, 0, -1)
		must(t, c.AdvanceState(1, 1))
		wantValue(t, c.PredictionError(), []int{2, 2}, 3, 6, 0, -3)
		wantValue(t, c.Mean(), []int{2, 2}, 1.75, 3.5, 0, -1.75)
		wantValue(t, c.AccumulatedReward(), []int{2, 2}, 8, 16, 0, -8)
		wantValue(t, c.EpisodeSteps(), []int{2, 1}, 2, 2)
		must(t, c.Evolve(2, 1)) // halfway to the mean reward
		wantValue(t, c.Mean(), []int{2, 2}, 2.875, 5.75, 0, -2.875)
		wantValue(t, c.AccumulatedReward(), []int{2, 2}, 8, 16, 0, -8) // goes on
		must(t, c.Reset())
		for _, comp := range []*neurons.Compartment{c.Mean(), c.PredictionError(), c.AccumulatedReward()} {
			wantValue(t, comp, []int{2, 2}, 0, 0, 0, 0)
		}
		wantValue(t, c.EpisodeSteps(), []int{2, 1}, 0, 0)
		wantValue(t, c.Reward(), []int{2, 2}, 4, 8, 0, -4) // stays
	})
}

// TestRewardFactorsAreRoundedOnce: ngc-learn computes 1 - alpha and 1 - 1/w in
// float64 and rounds that. In float32 they would be 0.90999997 and 0.6666666.
func TestRewardFactorsAreRoundedOnce(t *testing.T) {
	c := newReward(t, 1, 0.09, neurons.WithWindow(3))
	must(t, c.Mean().SetScalar(1))
	must(t, c.AdvanceState(0, 1))
	wantValue(t, c.Mean(), []int{1, 1}, 0.91)
	must(t, c.Mean().SetScalar(1))
	must(t, c.Evolve(0, 1))
	wantValue(t, c.Mean(), []int{1, 1}, 0.6666667)
}

// TestRewardFaults: what looks like a fault in ngc-learn is so here.
func TestRewardFaults(t *testing.T) {
	c := newReward(t, 1, 0.5, neurons.WithOnlinePredictor(false))
	must(t, c.Reward().SetScalar(3))
	must(t, c.AdvanceState(0, 1))
	must(t, c.Evolve(1, 1))
	wantValue(t, c.Mean(), []int{1, 1}, 0)
	wantValue(t, c.PredictionError(), []int{1, 1}, 3)
	wantValue(t, c.AccumulatedReward(), []int{1, 1}, 3)

	c = newReward(t, 1, 0.5)
	must(t, c.Evolve(0, 1))
	wantValue(t, c.Mean(), []int{1, 1}, nan)
}

func TestRewardConstructor(t *testing.T) {
	for _, test := range []struct {
		alpha float64
		opts  []neurons.Option
		text  string
	}{
		{float64(nan), nil, "alpha is NaN"},
		{math.Inf(1), nil, "alpha is +Inf"},
		{1e300, nil, "alpha is 1e+300, which float32 does not hold"},
		{0.5, []neurons.Option{neurons.WithWindow(0)}, "ema_window_len is 0"},
		{0.5, []neurons.Option{neurons.WithScale(1.0)}, "no option WithScale"},
	} {
		_, err := neurons.NewRewardErrorCell("r0", 2, test.alpha, test.opts...)
		wantError(t, err, neurons.ErrArgument, test.text)
	}
	c := newReward(t, 3, 0.5)
	names := ""
	for _, comp := range c.Compartments() {
		names += comp.Name() + " "
	}
	if names != "mu reward rpe accum_reward n_ep_steps " || c.BatchSize() != 1 {
		t.Errorf("the compartments are %s, batch_size is %d", names, c.BatchSize())
	}
	wantError(t, c.VerifyConnections(), neurons.ErrUnconnected, "r0.reward")
	must(t, neurons.Connect(c.PredictionError(), c.Reward(), neurons.Overwrite))
	must(t, c.VerifyConnections())
	must(t, neurons.Disconnect(c.Reward()))
	must(t, c.Reward().SetFloat32s(count(9), 3, 3))
	must(t, c.AccumulatedReward().SetFloat32s(count(6), 2, 3))
	before := c.Mean().Shape()
	wantError(t, c.AdvanceState(0, 1), neurons.ErrShape, "r0: ")
	wantValue(t, c.EpisodeSteps(), []int{1, 1}, 0)
	if len(c.Mean().Shape()) != len(before) {
		t.Error("a step that fails has changed mu")
	}
	must(t, c.Close())
	wantError(t, c.AdvanceState(0, 1), neurons.ErrClosed, "r0")
	wantError(t, c.Evolve(0, 1), neurons.ErrClosed, "r0")
}

// TestRewardAllocatesNothing once shapes repeat.
func TestRewardAllocatesNothing(t *testing.T) {
	onEveryCPU(t, func(t *testing.T, dev backend.Device) {
		c := newReward(t, 100, 0.5, neurons.On(dev))
		step := func() {
			must(t, c.AdvanceState(0, 1))
			must(t, c.Evolve(0, 1))
		}
		for range 4 {
			step()
		}
		if n := testing.AllocsPerRun(20, step); n != 0 {
			t.Errorf("a step and an evolution allocate %v times", n)
		}
	})
}
