package scheduler

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/daguerre-go/daguerre/internal/words"
)

// UseCase is what pictures are made for.
type UseCase string

// The use cases of [Recommend].
const (
	UseFast           UseCase = "fast"
	UseBalanced       UseCase = "balanced"
	UseQuality        UseCase = "quality"
	UseFewStep        UseCase = "few-step"
	UseImg2Img        UseCase = "img2img"
	UseInpaint        UseCase = "inpaint"
	UseReproducible   UseCase = "reproducible"
	UsePhotorealistic UseCase = "photorealistic"
	UseIllustration   UseCase = "illustration"
)

// UseCases lists every UseCase.
var UseCases = []UseCase{UseFast, UseBalanced, UseQuality, UseFewStep, UseImg2Img, UseInpaint, UseReproducible, UsePhotorealistic, UseIllustration}

// Distillation is the method by which a model was made to need few steps. Empty: none.
type Distillation string

// The methods that [Recommend] knows.
const (
	DistilledTurbo     Distillation = "turbo"     // arXiv:2311.17042
	DistilledLightning Distillation = "lightning" // arXiv:2402.13929
	DistilledLCM       Distillation = "lcm"       // arXiv:2310.04378
	DistilledTCD       Distillation = "tcd"       // arXiv:2402.19159
	DistilledHyper     Distillation = "hyper"     // arXiv:2404.13686
)

// Distillations lists every Distillation.
var Distillations = []Distillation{DistilledTurbo, DistilledLightning, DistilledLCM, DistilledTCD, DistilledHyper}

// Query asks for a recommendation. The zero value asks for a balanced one for an ordinary SDXL model.
type Query struct {
	UseCase        UseCase      // "": UseBalanced
	PredictionType string       // of the model: "", "epsilon", "v_prediction" or "sample"
	ZeroSNR        bool         // the model was trained with zero terminal SNR (arXiv:2305.08891), by default with v_prediction
	Distilled      Distillation // "": not distilled
	MaxSteps       int          // at most so many steps; 0: no limit
	// Time is how long denoising may take, and Evaluation how long one evaluation of the UNet takes, both halves of guidance
	// included. Both are set, or neither.
	Time, Evaluation time.Duration
}

// Reason is why something is recommended.
type Reason struct {
	Text   string `json:"text"`
	Source string `json:"source"` // "measured" for figures of the database, "budget" for the query's own limits, else a paper
}

// Recommendation is how to run a model.
type Recommendation struct {
	UseCase         UseCase    `json:"use_case"`
	Scheduler       string     `json:"scheduler"`         // class name
	Options         Config     `json:"scheduler_options"` // over the model's own
	Steps           int        `json:"num_inference_steps"`
	Evaluations     int        `json:"evaluations"` // of the UNet
	Guidance        [2]float64 `json:"guidance_scale_range"`
	GuidanceRescale float64    `json:"guidance_rescale,omitempty"`
	Reasons         []Reason   `json:"reasons"`
}

func (r *Recommendation) because(source, format string, args ...any) {
	r.Reasons = append(r.Reasons, Reason{fmt.Sprintf(format, args...), source})
}

// The sources of reasons that come from no paper.
const (
	sourceMeasured = "measured"
	sourceBudget   = "budget"
)

// Recommend answers a query from the measured database ([Measured]) and, for what a small undistilled model cannot show, from the
// papers it names. Errors are [OptionError] with the field of the query.
func Recommend(q Query) (Recommendation, error) { return recommend(q, measured()) }

func recommend(q Query, d Database) (Recommendation, error) {
	if q.UseCase == "" {
		q.UseCase = UseBalanced
	}
	if q.ZeroSNR && q.PredictionType == "" {
		q.PredictionType = "v_prediction"
	}
	limit, err := q.check()
	if err != nil {
		return Recommendation{}, err
	}
	r := Recommendation{UseCase: q.UseCase, Guidance: [2]float64{4, 8}}
	if q.Distilled != "" {
		r.fromRecipe(q)
	} else if err := r.fromMeasurements(q, d, limit); err != nil {
		return Recommendation{}, err
	}
	r.adapt(q)
	return r, r.limit(q, limit)
}

// check validates a query and returns the most evaluations that its time allows.
func (q Query) check() (evaluations int, err error) {
	bad := func(option, found, want string) error { return &OptionError{Option: option, Found: found, Want: want} }
	if !slices.Contains(UseCases, q.UseCase) {
		return 0, bad("use_case", `"`+words.Clip(string(q.UseCase))+`"`, "known are "+join(UseCases))
	}
	if q.Distilled != "" && !slices.Contains(Distillations, q.Distilled) {
		return 0, bad("distilled", `"`+words.Clip(string(q.Distilled))+`"`, "known are "+join(Distillations))
	}
	if known := []string{"", "epsilon", "v_prediction", "sample"}; !slices.Contains(known, q.PredictionType) {
		return 0, bad("prediction_type", `"`+words.Clip(q.PredictionType)+`"`, "known are "+strings.Join(known[1:], ", "))
	}
	if q.ZeroSNR && q.PredictionType == "epsilon" {
		return 0, bad("prediction_type", "epsilon with zero SNR", "noise alone tells nothing of the picture (arXiv:2305.08891): such models predict v_prediction or sample")
	}
	if q.MaxSteps < 0 || q.MaxSteps > 1000 {
		return 0, bad("max_steps", numText(q.MaxSteps), "it must be between 1 and 1000")
	}
	if q.Time < 0 || q.Evaluation < 0 || (q.Time == 0) != (q.Evaluation == 0) {
		return 0, bad("time", q.Time.String()+" at "+q.Evaluation.String()+" an evaluation", "both must be positive, or left out")
	}
	if q.Time == 0 {
		return math.MaxInt, nil
	}
	if n := int(q.Time / q.Evaluation); n > 0 {
		return n, nil
	}
	return 0, bad("time", q.Time.String(), "one evaluation alone takes "+q.Evaluation.String())
}

// recipe is how the authors of a distilled model run it.
type recipe struct {
	scheduler string
	options   Config
	steps     int
	guidance  [2]float64
	paper     string
	text      string
}

var recipes = map[Distillation]recipe{
	DistilledTurbo: {"EulerAncestralDiscreteScheduler", Config{TimestepSpacing: "trailing"}, 1, [2]float64{0, 1}, "arXiv:2311.17042",
		"SDXL Turbo was distilled adversarially for 1 to 4 steps from the noisiest level, which trailing spacing begins at, without guidance"},
	DistilledLightning: {"EulerDiscreteScheduler", Config{TimestepSpacing: "trailing"}, 4, [2]float64{0, 1}, "arXiv:2402.13929",
		"SDXL Lightning was distilled for 2, 4 or 8 deterministic steps whose spacing is trailing, without guidance; make as many steps as the file's name says"},
	DistilledLCM: {"LCMScheduler", Config{}, 4, [2]float64{1, 2}, "arXiv:2310.04378",
		"a latent consistency model predicts the picture at every step and noises it again, which only LCM does; guidance was distilled into it"},
	DistilledTCD: {"TCDScheduler", Config{Eta: new(0.3)}, 4, [2]float64{0, 1}, "arXiv:2402.19159",
		"trajectory consistency distillation needs TCD's semilinear step, with eta (the paper's gamma) 0.3"},
	DistilledHyper: {"TCDScheduler", Config{Eta: new(1.0)}, 4, [2]float64{0, 1}, "arXiv:2404.13686",
		"Hyper-SD distils consistency along segments of the trajectory; its one-step and unified files run with TCD"},
}

// fromRecipe follows the authors of a distilled model, whatever the use case.
func (r *Recommendation) fromRecipe(q Query) {
	p := recipes[q.Distilled]
	r.Scheduler, r.Options, r.Steps, r.Guidance = p.scheduler, p.options.Clone(), p.steps, p.guidance
	r.because(p.paper, "%s", p.text)
	if q.UseCase == UseImg2Img || q.UseCase == UseInpaint {
		r.because("arXiv:2108.01073", "only the last steps*strength steps are made from a picture (SDEdit): keep steps*strength at 1 or more")
	}
}

// adapt adds what the model's traits ask for.
func (r *Recommendation) adapt(q Query) {
	if q.PredictionType != "" && q.PredictionType != "epsilon" {
		r.Options.PredictionType = q.PredictionType
		r.because("arXiv:2202.00512", "the model predicts %s, not noise; the scheduler must be told", q.PredictionType)
	}
	if q.ZeroSNR {
		r.Options.RescaleBetasZeroSNR, r.Options.TimestepSpacing = new(true), "trailing"
		r.GuidanceRescale = 0.7
		r.because("arXiv:2305.08891", "with zero terminal SNR the schedule is rescaled, sampling begins at the last timestep (trailing), and guidance is rescaled by 0.7 against over-exposure")
	}
}

// limit cuts the steps to the budget, and counts evaluations.
func (r *Recommendation) limit(q Query, evaluations int) error {
	s, err := New(r.Scheduler, SDXLDefaults().With(r.Options))
	if err != nil {
		return err
	}
	asked := r.Steps
	if q.MaxSteps > 0 {
		r.Steps = min(r.Steps, q.MaxSteps)
	}
	for ; r.Steps > 0; r.Steps-- {
		run, err := s.NewRun(RunOptions{NumInferenceSteps: r.Steps})
		if err != nil {
			return err
		}
		if r.Evaluations = run.NumEvaluations(); r.Evaluations <= evaluations {
			break
		}
	}
	if r.Steps == 0 {
		return &OptionError{Option: "time", Found: numText(evaluations) + " evaluations", Want: "no step of " + r.Scheduler + " fits"}
	}
	if r.Steps < asked {
		r.because(sourceBudget, "%d steps would be advised; %d fit", asked, r.Steps)
	}
	return nil
}

func join[T ~string](words []T) string {
	var b strings.Builder
	for i, w := range words {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(string(w))
	}
	return b.String()
}
