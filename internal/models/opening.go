package models

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"

	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/scheduler"
)

// Opening is everything that is known of a model before a weight is read.
type Opening struct {
	Config   backend.ModelConfig
	Settings Settings
	// ForceZeros is what the files say of force_zeros_for_empty_prompt; nil: nothing. Settings has it with its default.
	ForceZeros *bool
	Warnings   []string // for the user: tensors that nothing uses, and what the files say and is not done
	Paths      []string // the files and folders that weights come from; the model's own is the first
	Files      []string // all files that were read: those of weights, their indices, and configurations
}

// Read reads each header of a model's files once: the table of weights, hyperparameters and settings come from the model, and from the
// files that replace its components. role is "model" or "refiner".
func Read(role string, cfg backend.ModelConfig) (Opening, error) {
	o := Opening{Settings: SDXLSettings(), Config: cfg}
	m, err := modelfile.ReadModel(cfg.Files)
	if err != nil {
		return o, err
	}
	for _, in := range m.Inputs {
		if in.Role == "model" {
			in.Role = role
		}
		o.Paths = append(o.Paths, in.Report.Path)
		o.addFiles(in.Report)
		if err := checkReport(in.Role, in.Report); err != nil {
			return o, err
		}
		warning, err := o.adopt(in.Role, in.Report)
		if err != nil {
			return o, fmt.Errorf("%s: %w", in.Report.Path, err)
		}
		if warning != "" {
			o.Warnings = append(o.Warnings, filepath.Base(in.Report.Path)+": "+warning)
		}
	}
	table, err := m.Table()
	if err != nil {
		return o, err
	}
	o.Config.Table, o.Warnings = table, append(o.Warnings, table.Warnings...)
	return o, nil
}

// addFiles adds the files of a report.
func (o *Opening) addFiles(r modelfile.Report) {
	for _, f := range r.Files {
		o.Files = append(o.Files, f.Path)
	}
	for _, s := range r.Config.Sources { // files, and words for what is in the weights' files
		if st, err := os.Stat(s); err == nil && st.Mode().IsRegular() {
			o.Files = append(o.Files, s)
		}
	}
	folder, err := modelfile.FolderFiles(r.Path)
	if err != nil {
		return // no folder
	}
	for _, c := range folder.Components {
		if c.Index != "" {
			o.Files = append(o.Files, c.Index)
		}
	}
}

// CheckRefiner makes sure that the model's scheduler fits the refiner: both run with it. It returns a warning if the refiner's file does
// not say what the refiner predicts and the model predicts something else than SDXL does; else "".
func CheckRefiner(base, refiner Opening) (warning string, err error) {
	b, r := base.Settings, refiner.Settings
	path := refiner.Paths[0]
	if b.EDM != r.EDM {
		return "", fmt.Errorf("refiner: %s: %w: only one of model and refiner has EDM's preconditioning, and one scheduler runs both", path,
			ErrUnsupported)
	}
	predicts := cmp.Or(b.Prediction, epsilon)
	switch {
	case r.Prediction == predicts || r.Prediction == "" && predicts == epsilon:
	case r.Prediction == "":
		warning = fmt.Sprintf("%s: the refiner's files do not say what it predicts; the model's prediction, %s, is used", filepath.Base(path),
			predicts)
	default:
		err = fmt.Errorf("refiner: %s: %w: it predicts %s, the model %s, and one scheduler runs both", path, ErrUnsupported, r.Prediction,
			predicts)
	}
	return warning, err
}

// epsilon is the prediction of a UNet whose file does not say it.
const epsilon = "epsilon"

// Unread is the Opening of a model that a backend without files makes up.
func Unread(cfg backend.ModelConfig) Opening { return Opening{Config: cfg, Settings: SDXLSettings()} }

// adoptNames takes over what the names of the UNet's files say of it. Its files may say otherwise afterwards.
func (o *Opening) adoptNames(role string, r modelfile.Report) {
	if role == "unet" && o.Settings.Distilled.Method != "" { // what the model's names say is not true of this UNet
		plain := SDXLSettings()
		o.Settings.Steps, o.Settings.Guidance, o.Settings.SchedulerName = plain.Steps, plain.Guidance, plain.SchedulerName
		o.Settings.Scheduler, o.Settings.Distilled = plain.Scheduler, scheduler.Distilled{}
	}
	if role == "refiner" || r.UNetKind == modelfile.KindSDXLRefiner {
		return
	}
	if d, ok := scheduler.FindDistilled(false, NamesOf(r.Path, r.Metadata)...); ok {
		o.Settings.AdoptDistilled(d)
	}
}

// adopt takes over what the file of a role states. A component's file speaks for that component only. It returns a warning, or "".
func (o *Opening) adopt(role string, r modelfile.Report) (warning string, err error) {
	c, h, whole := r.Config, &o.Config.Hyper, role == "model" || role == "refiner"
	if whole || role == "unet" {
		set(&h.UNetNormNumGroups, c.UNet.NormNumGroups)
		set(&h.UNetAttentionHeadDim, c.UNet.HeadDim)
		o.ForceZeros = cmp.Or(c.ForceZerosForEmptyPrompt, o.ForceZeros)
		o.Settings.stated = false // of another UNet
		o.adoptNames(role, r)
		if warning, err = o.Settings.adoptUNet(c); err != nil {
			return "", err
		}
		if s, u := o.Settings, r.Dims.UNet; !whole && s.EDM && !s.stated && (u == nil || u.GuidanceDim == 0) { // else it is LCM's
			warning = fmt.Sprintf("the model has EDM's preconditioning, and this UNet does not say that it has it too. It is run with %s, which is "+
				"right only for UNets with EDM's preconditioning. Give a plain UNet another model", s.SchedulerName)
		}
	}
	if whole || role == "text_encoder" {
		set(&h.TextHeadDim, c.TextEncoder.HeadDim)
		set(&h.TextEncoderAct, c.TextEncoder.HiddenAct)
	}
	if whole || role == "text_encoder_2" {
		second := c.TextEncoder2
		if !whole && second == (modelfile.TextEncoderConfig{}) {
			second = c.TextEncoder // the file of one encoder does not know that it will be the second
		}
		set(&h.TextHeadDim, second.HeadDim)
		set(&h.TextEncoder2Act, second.HiddenAct)
	}
	if whole || role == "vae" || c.Scheduler.EDM { // its UNet's latents have their own mean and deviation
		set(&h.VAENormNumGroups, c.VAE.NormNumGroups)
		o.Settings.adoptVAE(c.VAE)
	}
	return warning, nil
}
