package scheduler

import (
	_ "embed" // the table's text is embedded
	"fmt"
	"strings"
	"sync"
	"text/template"
)

// Needs names the kind of model that a scheduler needs to make right pictures. Empty: an ordinary SDXL UNet.
type Needs string

// The kinds of models that some schedulers were made for.
const (
	NeedsDistilled  Needs = "distilled"   // a consistency model: LCM (arXiv:2310.04378), TCD (arXiv:2402.19159)
	NeedsEDM        Needs = "edm"         // a model with the preconditioning of arXiv:2206.00364, table 1
	NeedsVDiffusion Needs = "v-diffusion" // a model whose timesteps run from 1 to 0 and that predicts v, as diffusers' IPNDM assumes
)

// Database is the measured performance of every scheduler on one model.
type Database struct {
	Command        string  `json:"command"`         // that made it
	Model          string  `json:"model"`           //
	ModelSHA256    string  `json:"model_sha256"`    // of the weights
	Precision      string  `json:"precision"`       // the UNet's arithmetic
	Threads        int     `json:"threads"`         //
	GuidanceScale  float64 `json:"guidance_scale"`  //
	SweepPrompts   int     `json:"sweep_prompts"`   // prompts at every step count
	CheckPrompts   int     `json:"check_prompts"`   // other prompts, at the recommended steps
	Reference      string  `json:"reference"`       // what latents are compared with
	ReferenceError float64 `json:"reference_error"` // distance of the reference from itself with half the steps, as Error
	StepLatents    []int   `json:"step_latents"`    // shape at which StepMicroseconds was measured
	Rule           string  `json:"rule"`            // that chose the recommended steps

	Entries []Characteristics `json:"entries"`
}

// Characteristics are the figures of one scheduler with one set of options.
type Characteristics struct {
	Scheduler  string `json:"scheduler"` // class name
	Label      string `json:"label"`     // class name with what its options change
	Options    Config `json:"options"`   // over SDXL's
	Stochastic bool   `json:"stochastic"`
	Needs      Needs  `json:"needs,omitempty"`

	Steps []Measurement `json:"steps"` // by step count, ascending
	// Recommended is what the held-out prompts gave at the recommended number of steps.
	Recommended Measurement `json:"recommended"`
	// SeedSteps is the step count of the two figures that follow, which compare several seeds for each sweep prompt.
	// SeedSpread is how far apart the latents of two seeds lie, |a-b| over the mean of |a| and |b|, as the mean over all
	// pairs. SeedRight counts, for each seed, the pictures with the right colour and background.
	SeedSteps  int     `json:"seed_steps"`
	SeedSpread float64 `json:"seed_spread"`
	SeedRight  []int   `json:"seed_right"`
	// StepMicroseconds is the median time of one Step without the model.
	StepMicroseconds float64 `json:"step_microseconds"`
}

// Measurement is the outcome of one step count.
type Measurement struct {
	Steps       int `json:"steps"`
	Evaluations int `json:"evaluations"` // of the UNet, for one picture; guidance doubles its rows, not this
	// Error is the mean over prompts of |x-r| / |r|, x the final latents and r the converged reference from the same
	// noise. Nil for stochastic schedulers, which do not converge to one picture, and where it was not measured.
	Error *float64 `json:"error,omitempty"`
	// The number of pictures, and how many of them have, for the checker, the right colour, background, both, and everything that was
	// asked.
	Pictures   int `json:"pictures"`
	Colour     int `json:"colour"`
	Background int `json:"background"`
	Right      int `json:"right"`
	All        int `json:"all"`
}

// EvaluationsPerStep is Evaluations over Steps.
func (m Measurement) EvaluationsPerStep() float64 {
	return float64(m.Evaluations) / float64(max(m.Steps, 1))
}

//go:embed characteristics.md.tmpl
var tableText string

var table = template.Must(template.New("table").Funcs(template.FuncMap{"relative": func(e *float64) string {
	if e == nil {
		return "-"
	}
	return fmt.Sprintf("%.3f", *e)
}}).Parse(tableText))

// Markdown writes the database as a table with a paragraph on how it was made; docs/schedulers.md holds it.
func (d Database) Markdown() string {
	var b strings.Builder
	if err := table.Execute(&b, d); err != nil {
		panic("scheduler: embedded characteristics.md.tmpl: " + err.Error())
	}
	return b.String()
}

// needsText tells in words which model is needed, and where that is written.
var needsText = map[Needs]string{
	NeedsDistilled:  "needs a consistency-distilled model (LCM: arXiv:2310.04378, TCD: arXiv:2402.19159)",
	NeedsEDM:        "needs a model with EDM preconditioning (arXiv:2206.00364), such as Playground v2.5",
	NeedsVDiffusion: "needs a v-diffusion model with timesteps from 1 to 0, as diffusers' IPNDM assumes",
}

// Text tells in words which model is needed.
func (n Needs) Text() string { return needsText[n] }

// measured is written by tools/schedbench; never by hand.
var measured = sync.OnceValue(func() Database { return embedded[Database]("characteristics.json") })

// Measured returns the embedded database. What its slices hold is shared and must not be changed.
func Measured() Database { return measured() }

// CharacteristicsOf returns the measurements of a scheduler, by any of its names. The first entry is without own options, then come its
// variants. Names that set options ("DPM++ 2M Karras") give all entries of the class.
func CharacteristicsOf(name string) ([]Characteristics, error) {
	class, _, err := Resolve(name)
	if err != nil {
		return nil, err
	}
	var out []Characteristics
	for _, c := range measured().Entries {
		if c.Scheduler == class {
			out = append(out, c)
		}
	}
	return out, nil
}
