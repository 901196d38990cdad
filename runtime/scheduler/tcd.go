package scheduler

import "math"

// tcd is trajectory consistency distillation's strategic stochastic sampling (arXiv:2402.19159, algorithm
// 4). It needs a model distilled for it. eta is the paper's gamma: 0 deterministic, 1 as LCM.
var tcd = &algorithm{
	name:    "TCDScheduler",
	summary: "trajectory consistency distillation: few steps with a distilled model",
	order:   1,
	defaults: Config{
		NumTrainTimesteps: new(1000), BetaStart: new(0.00085), BetaEnd: new(0.012), BetaSchedule: "scaled_linear",
		OriginalInferSteps: new(50), ClipSample: new(false), ClipSampleRange: new(1.0), SetAlphaToOne: new(true),
		StepsOffset: new(0), PredictionType: "epsilon",
		Thresholding: new(false), DynamicThresholdingRatio: new(0.995), SampleMaxValue: new(1.0),
		TimestepSpacing: "leading", TimestepScaling: new(10.0), RescaleBetasZeroSNR: new(false), Eta: new(0.3),
	},
	optional:        []string{"trained_betas"},
	values:          discreteValues,
	check:           checkOriginalSteps,
	customTimesteps: true,
	start: func(s *sched, o *RunOptions) (*plan, solver, error) {
		timesteps, notes := s.distilledTimesteps(o)
		d := &tcdRun{eta: val(s.cfg.Eta)}
		for i := range timesteps {
			prev := 0.0
			if i+1 < len(timesteps) {
				prev = timesteps[i+1]
			}
			// diffusers multiplies in float32 before taking the floor
			at := math.Floor(float64(float32(1-d.eta) * float32(prev)))
			d.s = append(d.s, s.alphaAt(int(at)))
		}
		d.alphaSpace = s.newAlphaSpace(timesteps, s.alphaAt(0), o.BatchSize)
		d.limit = limiter{} // diffusers has the options, but does not apply them
		p, err := s.alphaPlan(timesteps, &d.alphaSpace)
		if err != nil {
			return nil, nil, err
		}
		p.notes = notes
		return p, d, nil
	},
}

type tcdRun struct {
	alphaSpace
	s       []float64 // level that each step goes down to before noise is added
	eta     float64
	x0, eps []float32
}

func (d *tcdRun) reset(_, n int) { d.x0, d.eps = sized(d.x0, n), sized(d.eps, n) }

func (d *tcdRun) noisy(i int) bool { return d.eta > 0 && i+2 < len(d.a) }

func (d *tcdRun) step(dst, out, sample, noise []float32, i int) {
	d.original(d.x0, out, sample, i)
	d.epsilon(d.eps, out, sample, i)
	s := d.s[i]
	if noise == nil {
		combine2(dst, math.Sqrt(s), d.x0, math.Sqrt(1-s), d.eps)
		return
	}
	up := d.a[i+1] / s
	c := math.Sqrt(up)
	combine3(dst, c*math.Sqrt(s), d.x0, c*math.Sqrt(1-s), d.eps, math.Sqrt(max(1-up, 0)), noise)
}
