package command

import (
	"cmp"
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/daguerre-go/daguerre/cli/internal/progress"
	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/internal/models"
	"github.com/daguerre-go/daguerre/internal/picture"
	"github.com/daguerre-go/daguerre/internal/vae"
	"github.com/daguerre-go/daguerre/internal/words"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/pipeline"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// vaeOptions is what vae check is asked to do.
type vaeOptions struct {
	file      string
	pictures  []string
	size      int
	tileSize  int
	overlap   float64
	precision string
	dtype     string
	device    string
	threads   int
	display
}

// vaeReport is what vae check prints with --json.
type vaeReport struct {
	File   string           `json:"file"`
	Layout string           `json:"layout"`
	Small  bool             `json:"small,omitempty"` // much narrower than SDXL's, and judged by drawings
	Info   backend.VAEInfo  `json:"vae"`
	Check  vae.CheckReport  `json:"check"`
	F32    *vae.CheckReport `json:"f32,omitempty"` // the same in F32, where the first had a fault
}

// vaeOptionsOf reads the flags; it reads no file.
func vaeOptionsOf(c *cli.Context) (vaeOptions, error) {
	o := vaeOptions{file: c.Args().First(), pictures: c.Args().Tail(), size: c.Int("size"), tileSize: c.Int("tile-size"),
		overlap:   c.Float64("tile-overlap"),
		precision: cmp.Or(c.String("precision"), "auto"), dtype: cmp.Or(c.String("type"), "auto"), device: c.String("device"),
		threads: c.Int("threads")}
	command := c.Command.HelpName
	var err error
	if o.display, err = displayOf(c); err != nil {
		return o, err
	}
	switch {
	case o.file == "":
		return o, usagef(command, "give the VAE, or a checkpoint with one, to check")
	case c.IsSet("size") && (o.size < 64 || o.size > 4096 || o.size%8 != 0):
		return o, usagef(command, "--size is %d; it must be a multiple of 8 from 64 to 4096", o.size)
	case !slices.Contains(request.Precisions, o.precision):
		return o, usagef(command, "--precision %q is unknown; known are %s", words.Clip(o.precision), strings.Join(request.Precisions, ", "))
	case !slices.Contains(request.Types, o.dtype):
		return o, usagef(command, "--type %q is unknown; known are %s", words.Clip(o.dtype), strings.Join(request.Types, ", "))
	case o.threads < 0 || o.threads > 1024:
		return o, usagef(command, "--threads is %d; it must be 1 to 1024", o.threads)
	}
	if err := o.policy().Validate(); err != nil {
		return o, usagef(command, "%v", err)
	}
	return o, nil
}

func (o vaeOptions) policy() vae.Policy { return vae.Policy{TileSize: o.tileSize, Overlap: o.overlap} }

// vaePictureSize is the side of the pictures that a VAE of SDXL's size is checked with, in pixels, where none is given.
const vaePictureSize = 512

// builtIn makes the pictures that a VAE is checked with where none are given.
func (o vaeOptions) builtIn(info backend.VAEInfo) []vae.Sample {
	if vae.Small(info) {
		return vae.Drawings(cmp.Or(o.size, vae.DrawingSize))
	}
	return vae.Samples(cmp.Or(o.size, vaePictureSize))
}

// samples reads the given pictures.
func (o vaeOptions) samples() (out []vae.Sample, err error) {
	longestSide := cmp.Or(o.size, vaePictureSize)
	for _, path := range o.pictures {
		img, err := picture.Read(path, request.MaxPixels)
		if err != nil {
			return nil, &inputError{err}
		}
		size := img.Bounds().Size()
		if longest := max(size.X, size.Y); longest > longestSide {
			size.X, size.Y = size.X*longestSide/longest, size.Y*longestSide/longest
		}
		w, h := max(size.X/8*8, 8), max(size.Y/8*8, 8)
		out = append(out, vae.Sample{Name: filepath.Base(path), Pixels: pipeline.Pixels(img, w, h)})
	}
	return out, nil
}

func (o vaeOptions) execute(ctx context.Context, env Env, r progress.Reporter) error {
	samples, err := o.samples()
	if err != nil {
		return err
	}
	path, err := modelPath(ctx, o.file)
	if err != nil {
		return err
	}
	if err := models.CheckWholeVAE(path); err != nil {
		return err
	}
	config, err := modelfile.ReadConfig(path)
	if err != nil {
		return err
	}
	cfg := backend.ModelConfig{Files: backend.Files{VAE: path}, Hyper: backend.Hyper{VAENormNumGroups: config.VAE.NormNumGroups},
		Device: o.device, Precision: backend.Precision(o.precision), VAEType: backend.Type(o.dtype), Threads: o.threads}
	scaling := cmp.Or(config.VAE.ScalingFactor, models.DefaultScalingFactor)
	report := vaeReport{File: o.file}
	if report.Check, err = o.check(ctx, env, r, cfg, samples, scaling, &report); err != nil {
		return err
	}
	if slices.ContainsFunc(report.Check.Pictures, func(p vae.PictureReport) bool { return p.Fault != "" }) &&
		report.Check.Precision != backend.PrecisionF32 &&
		report.Check.Precision != backend.PrecisionExact {
		cfg.Precision, cfg.VAEType = backend.PrecisionF32, backend.TypeF32
		again, err := o.check(ctx, env, r, cfg, samples, scaling, &report)
		if err != nil {
			return err
		}
		report.F32 = &again
	}
	return o.print(env, r, report)
}

// check opens the VAE as cfg says and runs the library's check.
func (o vaeOptions) check(ctx context.Context, env Env, r progress.Reporter, cfg backend.ModelConfig, samples []vae.Sample, scaling float64,
	report *vaeReport) (vae.CheckReport, error) {
	m, err := env.Native.Open(ctx, cfg)
	if err != nil {
		return vae.CheckReport{}, err
	}
	info := m.Info()
	report.Layout, report.Info, report.Small = info.Layout, info.VAE, vae.Small(info.VAE)
	if len(samples) == 0 {
		samples = o.builtIn(info.VAE)
	}
	began := env.Now()
	out, err := vae.Check(ctx, m, samples, vae.CheckOptions{Policy: o.policy(), ScalingFactor: scaling, Progress: func(done, total int) {
		r.Report(progress.Step{Stage: "check", Step: done, Steps: total, Done: int64(done), Total: int64(total),
			Seconds: env.Now().Sub(began).Seconds()})
	}})
	if closeErr := m.Close(); err == nil {
		err = closeErr
	}
	return out, err
}

// print shows the report; a VAE that is bad in every precision is an error.
func (o vaeOptions) print(env Env, r progress.Reporter, report vaeReport) error {
	last := report.Check
	if report.F32 != nil {
		last = *report.F32
	}
	switch {
	case o.display.json:
		r.Report(progress.Result{Result: report})
	case !o.display.quiet:
		r.Close()
		if err := printVAE(env, report); err != nil {
			return err
		}
	}
	if last.Verdict == vae.Bad {
		err := fmt.Errorf("%s: the VAE is bad", o.file)
		if o.display.quiet || o.display.json {
			err = fmt.Errorf("%w: %s", err, strings.Join(last.Reasons, "; "))
		}
		return &inputError{err}
	}
	return nil
}

func printVAE(env Env, report vaeReport) error {
	var out page
	if report.Small {
		out.line("%s: a small VAE, %d channels wide; SDXL's has 512. It is judged by", report.File,
			slices.Max(report.Info.DecoderChannels))
		out.line("flat drawings, as it was trained on. The figures say nothing about SDXL's VAE.")
	} else {
		out.line("%s: a VAE of SDXL's size, %d channels wide", report.File, slices.Max(append([]int{0}, report.Info.DecoderChannels...)))
	}
	for _, c := range []*vae.CheckReport{&report.Check, report.F32} {
		if c == nil {
			continue
		}
		rows := [][]string{{strings.ToUpper(string(c.Precision)), "SIZE", "PSNR", "SSIM", "COLOUR SHIFT", "NOT FINITE", "TIME"}}
		for _, p := range c.Pictures {
			psnr, ssim, shift := fmt.Sprintf("%.1f dB", p.PSNR), fmt.Sprintf("%.3f", p.SSIM), fmt.Sprintf("%+.1f %+.1f %+.1f", p.ColourShift[0],
				p.ColourShift[1], p.ColourShift[2])
			if p.Fault != "" {
				psnr, ssim, shift = "-", "-", "-"
			}
			rows = append(rows, []string{p.Name, fmt.Sprintf("%d x %d", p.Width, p.Height), psnr, ssim, shift, fmt.Sprint(p.NotFinite),
				progress.Seconds(p.Seconds)})
		}
		out.table(rows)
		if t := c.Tiled; t != nil {
			out.line("tiles     %d of %d px: %.1f dB from undivided, seam energy %+.1f %%, %s of %s", t.Tiles, t.TileSize,
				t.PSNR, 100*t.SeamExcess, words.Bytes(t.Bytes), words.Bytes(t.WholeBytes))
		}
		out.line("latents   deviation %.3g, scaled by %v: %.2f", c.LatentStd, c.ScalingFactor, c.LatentStd*c.ScalingFactor)
		verdict := "verdict   " + string(c.Verdict)
		for _, reason := range c.Reasons {
			verdict += "\n          " + reason
		}
		out.line("%s", verdict)
	}
	if report.F32 != nil && report.F32.Verdict != vae.Bad {
		out.line("It needs F32: daguerre repeats such pictures by itself; vae_type f32 saves the first attempt.")
	}
	return out.print(env)
}
