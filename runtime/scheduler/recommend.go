package scheduler

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/daguerre-go/daguerre/internal/words"
)

// UseCase is what pictures are made for; UseCases lists them.
type UseCase string

// Distillation is the method by which a model was made to need few steps; Distillations lists them. Empty: none.
type Distillation string

// advice holds how to choose for each use case.
var advice = embedded[struct {
	UseCases []policy `json:"use_cases"`
}]("recommendations.json")

// UseCases lists every UseCase, Distillations every method that [Recommend] knows.
var (
	UseCases      = column(advice.UseCases, func(p policy) UseCase { return p.UseCase })
	Distillations = column(recipes, func(r recipe) Distillation { return r.Method })
)

func column[T, V any](rows []T, of func(T) V) (out []V) {
	for _, r := range rows {
		out = append(out, of(r))
	}
	return out
}

// Query asks for a recommendation. The zero value asks for a balanced one for an ordinary SDXL model.
type Query struct {
	UseCase        UseCase      // "": balanced
	PredictionType string       // of the model: "", "epsilon", "v_prediction" or "sample"
	ZeroSNR        bool         // the model was trained with zero terminal SNR (arXiv:2305.08891), by default with v_prediction
	Distilled      Distillation // "": not distilled
	MaxSteps       int          // at most so many steps; 0: no limit
	// Time is how long denoising may take, and Evaluation how long one evaluation of the UNet takes, both halves of
	// guidance included. Both are set, or neither.
	Time, Evaluation time.Duration
}

// Reason is why something is recommended.
type Reason struct {
	Text   string `json:"text"`
	Source string `json:"source"` // "measured": the database; "budget": the query's limits; "common practice": not measured; else a paper
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

	// Candidates are the best of the measured schedulers for the use case, the recommended one first, so that they can be measured on another
	// model. There are none for distilled models, which follow their authors.
	Candidates []Candidate `json:"-"`
}

// Candidate is a scheduler that may be recommended, with its steps.
type Candidate struct {
	Label, Scheduler   string
	Options            Config // over the model's own
	Steps, Evaluations int
	Stochastic         bool // it draws noise in its steps, and so has no picture to converge to
}

func (r *Recommendation) because(source, format string, args ...any) {
	r.Reasons = append(r.Reasons, Reason{fmt.Sprintf(format, args...), source})
}

// The sources of reasons that come from no paper.
const (
	sourceMeasured = "measured"
	sourceBudget   = "budget"
	sourcePractice = "common practice"
)

// Recommend answers a query from the measured database ([Measured]). The database is of a small undistilled model; for what it cannot show,
// Recommend uses papers and names them. Errors are [OptionError] with the field of the query.
func Recommend(q Query) (Recommendation, error) { return recommend(q, measured()) }

// manyEvaluations are so many that neighbouring ones are nearly alike.
const manyEvaluations = 15

func recommend(q Query, d Database) (Recommendation, error) {
	if q.UseCase == "" {
		q.UseCase = "balanced"
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
	err = r.limit(q, limit)
	if q.Distilled == "" && err == nil && r.Evaluations >= manyEvaluations {
		r.because(sourceMeasured, "not in the keys above, since it changes pictures a little: deepcache = 3 in [reuse] leaves out more than "+
			"half of "+
			"the work of so many steps (docs/fewer-evaluations.md; daguerre bench --reuse deepcache=3 measures it on your model)")
	}
	for i := range r.Candidates {
		err = cmp.Or(err, r.Candidates[i].adapt(q, r))
	}
	return r, err
}

// adapt gives a candidate the model's traits and the budget of the recommendation.
func (c *Candidate) adapt(q Query, r Recommendation) error {
	if q.PredictionType != "" && q.PredictionType != "epsilon" {
		c.Options.PredictionType = r.Options.PredictionType
	}
	if q.ZeroSNR {
		c.Options.RescaleBetasZeroSNR, c.Options.TimestepSpacing = r.Options.RescaleBetasZeroSNR, r.Options.TimestepSpacing
	}
	if r.Steps < r.Candidates[0].Steps || q.MaxSteps > 0 {
		c.Steps = min(c.Steps, r.Steps)
	}
	s, err := New(c.Scheduler, SDXLDefaults().With(c.Options))
	if err != nil {
		return err
	}
	run, err := s.NewRun(RunOptions{NumInferenceSteps: c.Steps})
	if err == nil {
		c.Evaluations = run.NumEvaluations()
	}
	return err
}

// check validates a query and returns how many evaluations its time allows.
func (q Query) check() (evaluations int, err error) {
	bad := func(option, found, want string) error { return &OptionError{Option: option, Found: found, Want: want} }
	quoted := func(word string) string { return `"` + words.Clip(word) + `"` }
	predictions := described.Words["prediction_type"]
	near := words.Nearest(string(q.UseCase), texts(UseCases))
	if near != "" {
		near = fmt.Sprintf("did you mean %q? ", near)
	}
	switch {
	case !slices.Contains(UseCases, q.UseCase):
		return 0, bad("use_case", quoted(string(q.UseCase)), near+"known are "+joined(UseCases))
	case q.Distilled != "" && !slices.Contains(Distillations, q.Distilled):
		return 0, bad("distilled", quoted(string(q.Distilled)), "known are "+joined(Distillations))
	case q.PredictionType != "" && !slices.Contains(predictions, q.PredictionType):
		return 0, bad("prediction_type", quoted(q.PredictionType), "known are "+joined(predictions))
	case q.ZeroSNR && q.PredictionType == "epsilon":
		return 0, bad("prediction_type", "epsilon with zero SNR",
			"noise alone tells nothing of the picture (arXiv:2305.08891): such models predict v_prediction or sample")
	case q.MaxSteps < 0 || q.MaxSteps > 1000:
		return 0, bad("max_steps", strconv.Itoa(q.MaxSteps), "it must be between 1 and 1000")
	case q.Time < 0 || q.Evaluation < 0 || (q.Time == 0) != (q.Evaluation == 0):
		return 0, bad("time", q.Time.String()+" at "+q.Evaluation.String()+" an evaluation", "both must be positive, or left out")
	case q.Time == 0:
		return math.MaxInt, nil
	}
	if n := int(q.Time / q.Evaluation); n > 0 {
		return n, nil
	}
	return 0, bad("time", q.Time.String(), "one evaluation alone takes "+q.Evaluation.String())
}

// fromRecipe follows the authors of a distilled model, whatever the use case.
func (r *Recommendation) fromRecipe(q Query) {
	p := recipes[slices.Index(Distillations, q.Distilled)]
	r.Scheduler, r.Options, r.Steps, r.Guidance = p.Scheduler, p.Options.Clone(), p.Steps, p.Guidance
	r.because(p.Paper, "%s", p.Why)
	if q.UseCase == "img2img" || q.UseCase == "inpaint" {
		r.because("arXiv:2108.01073",
			"only the last steps*strength steps are made from a picture (SDEdit): keep steps*strength at 1 or more")
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
		r.because("arXiv:2305.08891", "with zero terminal SNR the schedule is rescaled, sampling begins at the last "+
			"timestep (trailing), and guidance is rescaled by 0.7 against over-exposure")
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
		return &OptionError{Option: "time", Found: strconv.Itoa(evaluations) + " evaluations", Want: "no step of " + r.Scheduler + " fits"}
	}
	if r.Steps < asked {
		r.because(sourceBudget, "%d steps would be advised; %d fit", asked, r.Steps)
	}
	return nil
}

func joined[T ~string](words []T) string {
	return strings.Join(texts(words), ", ")
}

func texts[T ~string](words []T) []string {
	return column(words, func(w T) string { return string(w) })
}
