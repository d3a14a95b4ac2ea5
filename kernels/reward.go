package kernels

// The reward error cell: the error of a moving average mu that predicts a
// reward. For a reward of shape (B x N) and n_ep_steps of shape (B x 1), in the
// form of ngc-learn 3,
//
//	rpe              = reward - mu
//	next-mu          = mu*keep + reward*alpha        keep is 1 - alpha
//	next-accum_reward = accum_reward + reward
//	next-n_ep_steps  = n_ep_steps + 1
//
// and at the end of an episode, with rate 1/w and keep 1 - 1/w for a window of
// w episodes,
//
//	next-mu          = keep*mu + rate*(accum_reward/n_ep_steps)
//
// keep is an operand of its own because ngc-learn computes 1 - alpha in float64
// and rounds that.
var (
	// Reward is ngc-learn's step.
	Reward = Must(Define("reward", func(k *Builder) {
		reward, mu, accumulated, steps := k.Input("reward"), k.Input("mu"), k.Input("accum_reward"), k.Input("n_ep_steps")
		keep, alpha := k.Input("keep"), k.Input("alpha")
		k.Output("rpe", k.Sub(reward, mu))
		k.Output("next-mu", k.Add(k.Mul(mu, keep), k.Mul(reward, alpha)))
		k.Output("next-accum_reward", k.Add(accumulated, reward))
		k.Output("next-n_ep_steps", k.Add(steps, k.Const(1)))
	}))

	// RewardEvolve is ngc-learn's step at the end of an episode.
	RewardEvolve = Must(Define("reward-evolve", func(k *Builder) {
		mu, accumulated, steps := k.Input("mu"), k.Input("accum_reward"), k.Input("n_ep_steps")
		keep, rate := k.Input("keep"), k.Input("rate")
		k.Output("next-mu", k.Add(k.Mul(keep, mu), k.Mul(rate, k.Div(accumulated, steps))))
	}))
)

// The cell has a state that goes on from step to step, so the command line does
// not step it.
var _ = declare(Cell{
	Name: "reward",
	Kernels: []CellKernel{
		{Kernel: Reward, Fused: []Operands{{"n_ep_steps": Column, "keep": Scalar, "alpha": Scalar}}},
		{Kernel: RewardEvolve, Fused: []Operands{{"n_ep_steps": Column, "keep": Scalar, "rate": Scalar}}},
	},
})
