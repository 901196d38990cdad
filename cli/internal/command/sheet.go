package command

import (
	"context"
	"fmt"
	"image"
	"math"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/daguerre-go/daguerre/cli/internal/progress"
	"github.com/daguerre-go/daguerre/internal/imagefile"
	"github.com/daguerre-go/daguerre/internal/output"
	"github.com/daguerre-go/daguerre/internal/picture"
	"github.com/daguerre-go/daguerre/internal/recall"
	"github.com/daguerre-go/daguerre/internal/sheet"
	"github.com/daguerre-go/daguerre/internal/words"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// sheetOptions is what sheet is asked to do.
type sheetOptions struct {
	display
	pictures  []string
	columns   int // 0: as many as make a square
	caption   string
	output    string
	format    imagefile.Format
	quality   int
	overwrite bool
}

// captionFields are the placeholders of captions, in the order of the help.
var captionFields = []string{"file", "width", "height", "seed", "steps", "scheduler", "guidance", "model", "prompt"}

// captionField is a placeholder.
var captionField = regexp.MustCompile(`\{[^{}]*\}`)

// mostOnSheet is how many pictures a sheet may have.
const mostOnSheet = 10_000

func sheetOptionsOf(c *cli.Context) (o sheetOptions, err error) {
	o = sheetOptions{pictures: c.Args().Slice(), columns: c.Int("columns"), caption: c.String("caption"), output: c.String("output"),
		quality: c.Int("quality"), overwrite: c.Bool("overwrite")}
	if o.display, err = displayOf(c); err != nil {
		return o, err
	}
	command := c.Command.HelpName
	switch {
	case len(o.pictures) == 0:
		return o, usagef(command, "name the pictures, such as out/*.png")
	case len(o.pictures) > mostOnSheet:
		return o, usagef(command, "%d pictures are too many for a sheet; give at most %d", len(o.pictures), mostOnSheet)
	case o.output == "":
		return o, usagef(command, "--output is missing; name the file to write")
	case c.IsSet("columns") && o.columns < 1:
		return o, usagef(command, "--columns is %d; give 1 or more", o.columns)
	}
	for _, field := range captionField.FindAllString(o.caption, -1) {
		if name := strings.Trim(field, "{}"); !slices.Contains(captionFields, name) {
			return o, usagef(command, "--caption has %s, which is unknown%s", words.Clip(field), words.DidYouMean(name, captionFields))
		}
	}
	if o.format, err = imagefile.FormatOf(o.output); err != nil {
		return o, usagef(command, "%v", err)
	}
	return o, inRange(c, "quality", o.quality, 1, 100)
}

func (o sheetOptions) execute(ctx context.Context, env Env, r progress.Reporter) error {
	began := env.Now()
	across := o.columns
	if across == 0 {
		across = int(math.Ceil(math.Sqrt(float64(len(o.pictures)))))
	}
	across = min(across, len(o.pictures))
	var cell image.Point
	for _, path := range o.pictures {
		img, err := picture.ReadSize(path, request.MaxPixels)
		if err != nil {
			return &inputError{err}
		}
		size := img.Bounds().Size()
		cell = image.Pt(max(cell.X, size.X), max(cell.Y, size.Y))
	}
	number := func(c, r int) int { return r*across + c }
	s := sheet.Sheet{Columns: make([]string, across), Rows: make([]string, (len(o.pictures)+across-1)/across), Blocks: []string{""},
		Cell: cell, Picture: func(c, r, _ int) (image.Image, error) {
			if err := ctx.Err(); err != nil || number(c, r) >= len(o.pictures) {
				return nil, err
			}
			img, err := picture.Read(o.pictures[number(c, r)], request.MaxPixels)
			if err != nil {
				return nil, &inputError{err}
			}
			return img, nil
		}}
	if o.caption != "" {
		s.Caption = func(c, r, _ int) string {
			if number(c, r) >= len(o.pictures) {
				return ""
			}
			return o.captionOf(o.pictures[number(c, r)])
		}
	}
	img, err := s.Draw()
	if err != nil {
		return err
	}
	data, err := imagefile.Encode(img, o.format, imagefile.EncodeOptions{JPEGQuality: o.quality})
	if err != nil {
		return err
	}
	w := output.Writer{Overwrite: o.overwrite}
	path, err := w.Write(o.output, data)
	if err != nil {
		return &outputError{fmt.Errorf("saving the sheet: %w", err)}
	}
	r.Report(progress.File{Path: path, Bytes: int64(len(data)), Seconds: env.Now().Sub(began).Seconds()})
	return nil
}

// captionOf fills in the placeholders for a picture. What its file does not tell is a question mark.
func (o sheetOptions) captionOf(path string) string {
	found, foundErr := recall.ReadFile(path)
	return captionField.ReplaceAllStringFunc(o.caption, func(field string) string {
		name := strings.Trim(field, "{}")
		if name == "file" {
			return filepath.Base(path)
		}
		if name == "width" || name == "height" {
			img, err := picture.ReadSize(path, request.MaxPixels)
			if err != nil {
				return "?"
			}
			return fmt.Sprint(map[string]int{"width": img.Bounds().Dx(), "height": img.Bounds().Dy()}[name])
		}
		if foundErr != nil {
			return "?"
		}
		job := found.Run.Jobs[0]
		return map[string]string{"seed": fmt.Sprint(job.Seed), "steps": fmt.Sprint(job.NumInferenceSteps),
			"scheduler": strings.TrimSuffix(job.Scheduler, "Scheduler"), "guidance": number(job.GuidanceScale), "model": found.Run.Model.Model,
			"prompt": strings.TrimSpace(job.Prompt)}[name]
	})
}
