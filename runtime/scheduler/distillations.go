package scheduler

import (
	"regexp"
	"strconv"
	"strings"
	"unicode"
)

// Distilled is how the authors of a distilled model or adapter run it.
type Distilled struct {
	Method    Distillation
	Title     string // the family's name
	Scheduler string // class name
	Options   Config // over the model's own
	Steps     int    // of the file's name, else the family's usual number
	MostSteps int    // more make pictures worse
	// Guidance is the range of guidance_scale; the first is the default. 1 or less is none.
	Guidance [2]float64
	Needs    bool   // no other scheduler fits
	Size     int    // pixels of each side; 0: SDXL's
	Doubt    string // what the authors do and cannot be asked for here; "": nothing
	Card     string // address of the model card that says so
}

// recipe is a family of distilled models.
type recipe struct {
	Method         Distillation
	Title          string
	Model, Adapter *regexp.Regexp // of folded names
	Scheduler      string
	Options        Config
	Steps          int
	MostSteps      int `json:"most_steps"`
	Guidance       [2]float64
	NeedsScheduler bool `json:"needs_scheduler"`
	Paper, Card    string
	Why            string
	Variants       []variant
}

// variant is what differs for some files of a family, by their names.
type variant struct {
	Name      *regexp.Regexp // of folded names
	Scheduler string
	Options   *Config
	MostSteps int `json:"most_steps"`
	Guidance  *[2]float64
	Size      int
	Doubt     string
}

// recipes are the known families. A name that fits several belongs to the last: what is trained on top of another model names both.
var recipes = embedded[[]recipe]("distillations.json")

// FindDistilled recognises a distilled model by what it is called: names of its file, folder or repository, or titles in its metadata.
// The names of adapters must say more than those of models, since adapters are named after what they draw: "lightning" may be one of
// storms.
func FindDistilled(adapter bool, names ...string) (Distilled, bool) {
	for i := len(recipes) - 1; i >= 0; i-- {
		for _, name := range names {
			r, folded := &recipes[i], foldName(name)
			pattern := r.Model
			if adapter {
				pattern = r.Adapter
			}
			if pattern.MatchString(folded) {
				return r.named(folded, names), true
			}
		}
	}
	return Distilled{}, false
}

var stepsOfName = regexp.MustCompile(`-([0-9]+)-?steps?-`)

// named fills in what a name says beside the family.
func (r *recipe) named(folded string, names []string) Distilled {
	d := Distilled{Method: r.Method, Title: r.Title, Scheduler: r.Scheduler, Options: r.Options.Clone(), Steps: r.Steps,
		MostSteps: r.MostSteps, Guidance: r.Guidance, Needs: r.NeedsScheduler, Card: r.Card}
	all := folded
	for _, n := range names {
		all += foldName(n)
	}
	if m := stepsOfName.FindStringSubmatch(all); m != nil {
		if n, err := strconv.Atoi(m[1]); err == nil && n > 0 && n <= max(2*r.MostSteps, 16) {
			d.Steps = n
		}
	}
	for _, v := range r.Variants {
		if !v.Name.MatchString(all) {
			continue
		}
		if v.Scheduler != "" {
			d.Scheduler = v.Scheduler
		}
		if v.Options != nil {
			d.Options = v.Options.Clone()
			if v.Scheduler == "" {
				d.Options = r.Options.With(*v.Options)
			}
		}
		if v.MostSteps > 0 {
			d.MostSteps = v.MostSteps
		}
		if v.Guidance != nil {
			d.Guidance = *v.Guidance
		}
		d.Doubt, d.Size = v.Doubt, v.Size
		break // the first that fits
	}
	return d
}

// foldName writes a name in lower case, its words between hyphens, with one at both ends: "sdxlLightning_4step" is
// "-sdxl-lightning-4step-".
func foldName(name string) string {
	var b strings.Builder
	letters := []rune(strings.NewReplacer("LoRA", "Lora", "LoRa", "Lora").Replace(name))
	b.WriteByte('-')
	hyphen := true
	for i, c := range letters {
		if !unicode.IsLetter(c) && !unicode.IsDigit(c) {
			if !hyphen {
				b.WriteByte('-')
			}
			hyphen = true
			continue
		}
		starts := i > 0 && unicode.IsUpper(c) && (unicode.IsLower(letters[i-1]) || unicode.IsDigit(letters[i-1]) ||
			unicode.IsUpper(letters[i-1]) && i+1 < len(letters) && unicode.IsLower(letters[i+1]))
		if starts && !hyphen {
			b.WriteByte('-')
		}
		b.WriteRune(unicode.ToLower(c))
		hyphen = false
	}
	if !hyphen {
		b.WriteByte('-')
	}
	return b.String()
}
