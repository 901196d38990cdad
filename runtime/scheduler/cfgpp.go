package scheduler

import (
	"fmt"
	"math"

	"github.com/daguerre-go/daguerre/internal/words"
)

// CFG++ (arXiv:2406.08070, algorithm 2) goes to x0 of the guided prediction, and from there to the next level with the noise of the
// unguided one. In a step of first order, that is the unguided prediction's step and the difference of both x0.

// plusPlusNames are other programs' names of samplers with CFG++, and the schedulers whose steps they change.
var plusPlusNames = map[string]string{"euler_cfg_pp": "EulerDiscrete", "Euler CFG++": "EulerDiscrete",
	"euler_ancestral_cfg_pp": "EulerAncestralDiscrete", "euler_a_cfg_pp": "EulerAncestralDiscrete", "Euler a CFG++": "EulerAncestralDiscrete",
	"DDIM CFG++": "DDIM", "ddim_cfgpp": "DDIM"}

// CutCFGPlusPlus takes apart the name of a sampler with CFG++: plain is the scheduler's. Other names stay as they are, and ok is false.
func CutCFGPlusPlus(name string) (plain string, ok bool) {
	for known, plain := range plusPlusNames {
		if words.Fold(known) == words.Fold(name) {
			return plain, true
		}
	}
	return name, false
}

// plusPlus is a solver whose step can be made so. next is the factor of x0 at the level that the step of evaluation i goes to.
type plusPlus interface{ next(i int) float64 }

func (e *euler) next(int) float64          { return 1 }
func (e *eulerAncestral) next(int) float64 { return 1 }
func (d *ddimRun) next(i int) float64      { return math.Sqrt(d.prev[i]) }

// CanCFGPlusPlus reports whether a run's steps can be those of CFG++: Euler without churn, Euler ancestral, DDIM.
func CanCFGPlusPlus(r Run) bool {
	own, ok := r.(*run)
	if !ok {
		return false
	}
	if _, churned := own.solver.(*euler); churned && own.stochastic {
		return false
	}
	_, ok = own.solver.(plusPlus)
	return ok
}

// StepCFGPlusPlus is r.Step with CFG++. guided is the output with guidance, negative that of the negative half alone.
func StepCFGPlusPlus(r Run, dst, guided, negative, sample []float32, i int, noise NoiseSource) error {
	if !CanCFGPlusPlus(r) {
		return fmt.Errorf("scheduler: CFG++ is possible with Euler without churn, Euler ancestral and DDIM only")
	}
	own := r.(*run)
	own.plus[0], own.plus[1] = sized(own.plus[0], len(sample)), sized(own.plus[1], len(sample))
	x0, x0Negative := own.plus[0], own.plus[1]
	if err := r.PredOriginalSample(x0, guided, sample, i); err != nil {
		return err
	}
	if err := r.PredOriginalSample(x0Negative, negative, sample, i); err != nil {
		return err
	}
	if err := r.Step(dst, negative, sample, i, noise); err != nil {
		return err
	}
	next := own.solver.(plusPlus).next(own.begin + i)
	for k := range dst {
		dst[k] += float32(next * (float64(x0[k]) - float64(x0Negative[k])))
	}
	return nil
}
