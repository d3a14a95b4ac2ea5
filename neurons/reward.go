package neurons

import (
	"errors"

	"errorcell/kernels"
)

// defaultWindow is ngc-learn's ema_window_len.
const defaultWindow = 10

// RewardErrorCell is a population of N units that predict a reward by its
// moving average: ngc-learn's cell of that name (3.2.3,
// ngclearn/components/neurons/graded/rewardErrorCell.py). A step computes
//
//	rpe          = reward - mu
//	mu           = mu * (1 - alpha) + reward * alpha
//	accum_reward = accum_reward + reward
//	n_ep_steps   = n_ep_steps + 1
//
// and Evolve, at the end of an episode, with w of [WithWindow],
//
//	mu           = (1 - 1/w) * mu + 1/w * (accum_reward/n_ep_steps)
//
// It behaves as ngc-learn's does, also where that looks like a fault:
//
//   - Without the online predictor ([WithOnlinePredictor]), AdvanceState leaves
//     mu as it is, and so does Evolve, which ngc-learn's documentation says would
//     then be what predicts: mu stays 0.
//   - Evolve does not begin a new episode: accum_reward and n_ep_steps go on
//     until Reset, which forgets mu too. A second Evolve counts the same rewards
//     once more.
//   - Evolve before the first step divides 0 by 0: mu is NaN from then on.
//   - Reset leaves the reward.
type RewardErrorCell struct {
	component
	mu, reward, rpe, accumReward, episodeSteps *Compartment

	advance, evolve, reset *method
}

// NewRewardErrorCell makes a cell of this many units, all zeros. alpha is how
// much of the moving average a reward replaces. It takes [WithBatchSize],
// [WithWindow] and [WithOnlinePredictor] too. Close it after use.
func NewRewardErrorCell(name string, units int, alpha float64, opts ...Option) (*RewardErrorCell, error) {
	cfg, err := configure(opts, "WithBatchSize", "WithWindow", "WithOnlinePredictor")
	if err != nil {
		return nil, &Error{Component: name, Err: err}
	}
	c := &RewardErrorCell{}
	c.kind = "RewardErrorCell"
	if err := c.start(name, units, cfg); err != nil {
		return nil, err
	}
	c.mu = c.add("mu", cleared)
	c.reward = c.add("reward", cleared)
	c.rpe = c.add("rpe", cleared)
	c.accumReward = c.add("accum_reward", cleared)
	c.episodeSteps = c.add("n_ep_steps", cleared)
	if err := c.makeMethods(alpha, 1/float64(cfg.window), cfg.online); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// makeMethods gives the compartments their first values and makes the methods.
// Each factor is rounded once to the element type, as it is in ngc-learn.
func (c *RewardErrorCell) makeMethods(alpha, rate float64, online bool) error {
	if err := c.checkHolds("alpha", alpha); err != nil {
		return err
	}
	factor := func(name string, x float64) (*Compartment, error) {
		comp := c.hide(name)
		return comp, comp.SetScalar(x)
	}
	alphaKeep, err1 := factor("1 - alpha", 1-alpha)
	alphaTake, err2 := factor("alpha", alpha)
	rateKeep, err3 := factor("1 - 1/ema_window_len", 1-rate)
	rateTake, err4 := factor("1/ema_window_len", rate)
	if err := errors.Join(err1, err2, err3, err4, c.reward.setAll(c.batch(nil), 0)); err != nil {
		return err
	}
	advance := newStep(kernels.Reward,
		[]*Compartment{c.reward, c.mu, c.accumReward, c.episodeSteps, alphaKeep, alphaTake},
		[]*Compartment{c.rpe, c.mu, c.accumReward, c.episodeSteps})
	var evolve []op
	if online {
		evolve = []op{newStep(kernels.RewardEvolve,
			[]*Compartment{c.mu, c.accumReward, c.episodeSteps, rateKeep, rateTake}, []*Compartment{c.mu})}
	} else {
		advance.adjust = func(b *kernels.Binding, _ []kernels.Shape) error {
			b.Signature.Omit = 1 << kernels.Reward.OutputIndex("next-mu")
			return nil
		}
	}
	c.advance, c.evolve = c.does("advance_state", advance), c.does("evolve", evolve...)
	c.reset = c.does("reset", append(c.fills(0, c.batch, c.mu, c.rpe, c.accumReward),
		c.fills(0, func(to kernels.Shape) kernels.Shape { return append(to, c.batchSize, 1) }, c.episodeSteps)...)...)
	c.wanted = []*Compartment{c.reward}
	c.batched = []*Compartment{c.reward}
	return c.Reset()
}

// Mean is mu, the prediction of the reward.
func (c *RewardErrorCell) Mean() *Compartment { return c.mu }

// Reward is the reward of the next step, (B, N).
func (c *RewardErrorCell) Reward() *Compartment { return c.reward }

// PredictionError is rpe, the error of the last step's prediction.
func (c *RewardErrorCell) PredictionError() *Compartment { return c.rpe }

// AccumulatedReward is accum_reward, the sum of the episode's rewards.
func (c *RewardErrorCell) AccumulatedReward() *Compartment { return c.accumReward }

// EpisodeSteps is n_ep_steps, the number of the episode's steps, (B, 1).
func (c *RewardErrorCell) EpisodeSteps() *Compartment { return c.episodeSteps }

// AdvanceState moves the cell one step forward: see [RewardErrorCell]. The time
// t and the integration step dt are unused. When it fails, every compartment is
// as it was.
func (c *RewardErrorCell) AdvanceState(t, dt float64) error { return c.call(c.advance, t, dt) }

// Evolve moves mu by the episode's mean reward: see [RewardErrorCell]. t and dt
// are unused. When it fails, every compartment is as it was.
func (c *RewardErrorCell) Evolve(t, dt float64) error { return c.call(c.evolve, t, dt) }

// Reset makes all compartments zeros but the reward, which it leaves.
func (c *RewardErrorCell) Reset() error { return c.call(c.reset, 0, 0) }
