package command

import (
	"cmp"
	"context"
	"image"
	"math"
	"slices"

	"github.com/urfave/cli/v2"

	"github.com/daguerre-go/daguerre/cli/internal/progress"
	"github.com/daguerre-go/daguerre/internal/models"
	"github.com/daguerre-go/daguerre/internal/picture"
	"github.com/daguerre-go/daguerre/internal/upscale"
	"github.com/daguerre-go/daguerre/internal/words"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/pipeline"
)

// maxUpscaledPixels bounds what upscale makes: a picture of a gibibyte in memory.
const maxUpscaledPixels = 256 << 20

// upscaleOptions is what upscale is asked to do.
type upscaleOptions struct {
	file   pictureFile
	config backend.ModelConfig
	scale  float64 // 0: the model's
	tiles  upscale.Options
	display
}

// upscaleOptionsOf reads the flags; it reads no file.
func upscaleOptionsOf(c *cli.Context) (upscaleOptions, error) {
	o := upscaleOptions{scale: c.Float64("scale"), tiles: upscale.Options{TileSize: c.Int("tile-size"), Overlap: c.Int("overlap")},
		config: backend.ModelConfig{Files: backend.Files{Upscaler: c.String("model")}, Device: c.String("device"),
			Precision: backend.Precision(cmp.Or(c.String("precision"), string(backend.PrecisionAuto))), Threads: c.Int("threads")}}
	command := c.Command.HelpName
	var errs [3]error
	o.file, errs[0] = pictureFileOf(c)
	o.display, errs[1] = displayOf(c)
	switch {
	case o.config.Files.Upscaler == "":
		errs[2] = usagef(command, "--model is missing; give an ESRGAN file")
	case c.IsSet("scale") && !(o.scale > 0 && o.scale <= 16):
		errs[2] = usagef(command, "--scale is %v; it must be above 0 to 16", o.scale)
	case !slices.Contains(backend.Precisions, o.config.Precision):
		errs[2] = usagef(command, "--precision %q is unknown; known are %v", words.Clip(string(o.config.Precision)), backend.Precisions)
	case o.config.Threads < 0 || o.config.Threads > 1024:
		errs[2] = usagef(command, "--threads is %d; it must be 1 to 1024", o.config.Threads)
	case o.tiles.TileSize < 16 || o.tiles.TileSize > 4096:
		errs[2] = usagef(command, "--tile-size is %d; it must be 16 to 4096", o.tiles.TileSize)
	case o.tiles.Overlap < 0 || 2*o.tiles.Overlap >= o.tiles.TileSize:
		errs[2] = usagef(command, "--overlap is %d; it must be at least 0 and less than half of --tile-size, which is %d", o.tiles.Overlap,
			o.tiles.TileSize)
	}
	if err := together(command, errs[:]...); err != nil {
		return o, err
	}
	if o.tiles.Overlap == 0 {
		o.tiles.Overlap = -1 // as upscale.Options spells none
	}
	return o, nil
}

func (o upscaleOptions) execute(ctx context.Context, env Env, r progress.Reporter) error {
	img, err := o.file.read(func(text string) { r.Report(progress.Warning{Message: text}) })
	if err != nil {
		return err
	}
	if o.config.Files.Upscaler, err = modelPath(ctx, o.config.Files.Upscaler); err != nil {
		return err
	}
	if err := models.CheckNetwork(ctx, "upscaler", &o.config); err != nil {
		return err
	}
	began := env.Now()
	r.Report(progress.Start{Version: Version(), Jobs: 1, Images: 1})
	model, err := env.Native.Open(ctx, o.config)
	if err != nil {
		return err
	}
	out, err := o.enlarge(ctx, env, r, model, img)
	if closeErr := model.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return err
	}
	path, size, err := o.file.write(out)
	if err != nil {
		return err
	}
	r.Report(progress.File{Path: path, Bytes: int64(size), Seconds: env.Now().Sub(began).Seconds()})
	r.Report(progress.Done{Images: 1, Seconds: env.Now().Sub(began).Seconds()})
	return nil
}

// enlarge runs the model over the picture and brings the result to the scale that was asked for.
func (o upscaleOptions) enlarge(ctx context.Context, env Env, r progress.Reporter, model backend.Model, img image.Image) (*image.NRGBA,
	error) {
	info := model.Info()
	event := progress.Model{Model: pipeline.ModelName(o.config.Files.Upscaler), Kind: string(info.Kind), Precision: string(info.Precision),
		PrecisionReason: info.PrecisionReason}
	for _, c := range info.Components {
		if c.Loaded {
			event.Device, event.ParameterBytes = c.Device, event.ParameterBytes+c.ParameterBytes
		}
	}
	r.Report(event)
	w, h, own := img.Bounds().Dx(), img.Bounds().Dy(), float64(info.Upscaler.Scale)
	scale := cmp.Or(o.scale, own)
	side := func(n int) int { return max(int(math.Round(float64(n)*scale)), 1) }
	for _, s := range []float64{own, scale} {
		if n := float64(w) * float64(h) * s * s; n > maxUpscaledPixels {
			return nil, usagef("daguerre upscale", "%d x %d enlarged %v times has %.0f million pixels; at most %d million are possible", w, h, s,
				n/1e6, maxUpscaledPixels/1000000)
		}
	}
	began := env.Now()
	o.tiles.Progress = func(done, total int) {
		seconds := env.Now().Sub(began).Seconds()
		r.Report(progress.Step{Stage: progress.StageTiles, Step: done, Steps: total, Done: int64(done), Total: int64(total), Seconds: seconds,
			ETASeconds: seconds / float64(done) * float64(total-done)})
	}
	out, err := upscale.Picture(ctx, model, img, o.tiles)
	if err != nil {
		return nil, err
	}
	return picture.Resize(out, side(w), side(h)), nil
}
