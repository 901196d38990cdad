package bench

import (
	"bytes"
	_ "embed" // the page
	"encoding/base64"
	"fmt"
	"html/template"
	"image"
	"image/png"
	"io"
	"slices"
	"strings"

	"golang.org/x/image/draw"

	"github.com/daguerre-go/daguerre/internal/picture"
	"github.com/daguerre-go/daguerre/internal/words"
)

//go:embed report.html.tmpl
var pageText string

var page = template.Must(template.New("report").Funcs(template.FuncMap{"size": size, "bytes": words.Measured,
	"join": func(words []string) string { return strings.Join(words, " ") }}).Parse(pageText))

// The pictures of a page, which carries them inside itself.
const (
	maxShownRuns = 3   // runs whose first picture is shown
	maxShownSide = 384 // pixels of the longer side
	minShownSide = 128
	amplify      = 8 // of differences
)

// pageData is what the page's template reads.
type pageData struct {
	*Report
	Groups []pageGroup
}

// pageGroup are cases that differ in their type only.
type pageGroup struct {
	Title  string
	Pareto template.HTML
	Charts []pageChart
	Runs   []pageRun
}

type pageChart struct {
	Title  string
	SVG    template.HTML
	Legend [][2]string // class and name
}

type pageRun struct {
	Prompt   string
	Pictures []pagePicture
}

type pagePicture struct {
	Label, Caption string
	Width          int
	Image, Diff    template.URL // Diff is empty for the reference
}

// WriteHTML writes a page that needs no network: charts, the pictures side by side, the table and the conditions. The pictures are
// read from where the first round kept them; without them, as in a report read from JSON, they are left out.
func (r *Report) WriteHTML(w io.Writer) error {
	d := pageData{Report: r}
	var groups [][]*Result // that differ in type only
	for i := range r.Results {
		x := &r.Results[i]
		if x.Error != "" {
			continue
		}
		k := slices.IndexFunc(groups, func(g []*Result) bool { return g[0].peer() == x.peer() })
		if k < 0 {
			k, groups = len(groups), append(groups, nil)
		}
		groups[k] = append(groups[k], x)
	}
	for _, rs := range groups {
		g, err := r.group(rs, len(groups) > 1)
		if err != nil {
			return err
		}
		d.Groups = append(d.Groups, g)
	}
	var b bytes.Buffer
	if err := page.Execute(&b, d); err != nil {
		return err
	}
	_, err := w.Write(b.Bytes())
	return err
}

// group draws cases that differ in type.
func (r *Report) group(rs []*Result, titled bool) (pageGroup, error) {
	var g pageGroup
	if titled {
		x := rs[0]
		g.Title = fmt.Sprintf("%s, %d x %d, batch %d, %s, %s", x.Model, x.Width, x.Height, x.Batch, x.Device, x.Scheduler)
	}
	g.Pareto = template.HTML(r.pareto(rs)) //nolint:gosec // canvas escapes all texts
	g.Charts = []pageChart{
		timeChart("One denoising step, s", rs, func(x *Result) summary { return x.Step }),
		timeChart("One picture, from prompt to pixels, s", rs, func(x *Result) summary { return x.Image }),
		memoryChart(rs),
		chart("File, MiB", rs, func(x *Result) bar {
			return plainBar("bar", mebi(x.FileBytes), words.Measured(x.FileBytes), words.Measured(x.FileBytes))
		}),
	}
	if slices.ContainsFunc(rs, func(x *Result) bool { return x.Quality != nil && x.Quality.PSNRWorst < EqualPSNR }) {
		const title = "Fidelity: PSNR against the reference, dB; the whisker ends at the worst picture"
		g.Charts = append(g.Charts, chart(title, rs, fidelityBar))
	}
	if checked := slices.DeleteFunc(slices.Clone(rs), func(x *Result) bool { return x.Checked == nil }); len(checked) > 0 {
		g.Charts = append(g.Charts, chart("Pictures that show what was asked for, %", checked, checkedBar))
	}
	var err error
	g.Runs, err = r.pictures(rs)
	return g, err
}

// pareto draws time against fidelity, with memory as the bubbles' area.
func (r *Report) pareto(rs []*Result) string {
	var points, atTop []point
	for _, x := range rs {
		class := "bubble"
		switch a := r.Advice; {
		case a == nil:
		case a.Choice == x.Key:
			class = "bubble front choice"
		case slices.Contains(a.Front, x.Key):
			class = "bubble front"
		}
		p := point{x: x.Image.Median, size: float64(x.memory()), label: x.name(), class: class,
			tip: fmt.Sprintf("%s: %.3g s a picture, %s, %s", x.name(), x.Image.Median, words.Measured(x.memory()), fidelityText(x))}
		if x.Quality != nil && x.Quality.PSNRWorst < EqualPSNR {
			p.y = x.Quality.PSNRWorst
			points = append(points, p)
		} else {
			atTop = append(atTop, p)
		}
	}
	return scatterChart("speed, fidelity and memory of each type", "seconds a picture →", "PSNR of the worst picture, dB ↑",
		points, atTop)
}

func timeChart(title string, rs []*Result, of func(*Result) summary) pageChart {
	return chart(title, rs, func(x *Result) bar {
		s := of(x)
		b := plainBar("bar", s.Median, fmt.Sprintf("median %.4g, quartiles %.4g and %.4g, of %d", s.Median, s.Q1, s.Q3, s.N),
			fmt.Sprintf("%.3g", s.Median))
		b.lo, b.hi = s.Q1, s.Q3
		return b
	})
}

// chart has a bar for each result, with its type as label.
func chart(title string, rs []*Result, of func(*Result) bar) pageChart {
	var bars []bar
	for _, x := range rs {
		b := of(x)
		b.label = x.name()
		bars = append(bars, b)
	}
	return pageChart{Title: title, SVG: template.HTML(barChart(title, bars))} //nolint:gosec // canvas escapes all texts
}

// plainBar is a bar of one piece.
func plainBar(class string, length float64, tip, value string) bar {
	return bar{parts: []barPart{{class, length, tip}}, value: value}
}

// memoryParts are the pieces of the memory chart, with their classes.
var memoryParts = []struct{ class, name string }{{"m0", "unet"}, {"m1", "text_encoder"}, {"m2", "text_encoder_2"}, {"m3", "vae_encoder"},
	{"m4", "vae_decoder"}, {"m5", "buffer"}}

// memoryChart stacks native memory by component, and names the resident peak behind it.
func memoryChart(rs []*Result) pageChart {
	c := chart("Memory, MiB: native by component; behind it the peak of the process", rs, memoryBar)
	for _, p := range memoryParts {
		c.Legend = append(c.Legend, [2]string{p.class, strings.ReplaceAll(p.name, "_", " ")})
	}
	c.Legend = append(c.Legend, [2]string{"m6", "rest of the process"})
	return c
}

func memoryBar(x *Result) bar {
	b := bar{value: words.Measured(x.memory())}
	held := map[string]int64{}
	for _, c := range x.Components {
		held["buffer"] = max(held["buffer"], c.ComputeBytes)
		held[c.Name] = c.ParameterBytes
	}
	for _, part := range memoryParts {
		if n := held[part.name]; n > 0 {
			b.parts = append(b.parts, barPart{part.class, mebi(n), part.name + " " + words.Measured(n)})
		}
	}
	if rest := x.memory() - x.NativeBytes; rest > 0 {
		b.parts = append(b.parts, barPart{"m6", mebi(rest), "the rest of the process's " + words.Measured(x.memory())})
	}
	return b
}

func mebi(n int64) float64 { return float64(n) / (1 << 20) }

func fidelityBar(x *Result) bar {
	q := x.Quality
	switch {
	case q == nil:
		return bar{value: fidelityText(x), empty: true}
	case q.PSNRWorst >= EqualPSNR:
		return bar{value: "equal pictures", empty: true}
	}
	b := plainBar("bar good", q.PSNR, fmt.Sprintf("median %s dB, worst %s dB, SSIM %.4f, latents NMSE %.2g",
		decibel(q.PSNR), decibel(q.PSNRWorst), q.SSIM, q.NMSE), decibel(q.PSNR))
	b.lo, b.hi = q.PSNRWorst, q.PSNR
	return b
}

func checkedBar(x *Result) bar {
	c := x.Checked
	return plainBar("bar good", 100*float64(c.Right)/float64(max(c.Pictures, 1)), fmt.Sprintf(
		"colour %d, background %d, shape %d, all %d of %d", c.Colour, c.Background, c.Shape, c.Right, c.Pictures), x.checkedCell())
}

// pictures are the first ones of some runs, of every case.
func (r *Report) pictures(rs []*Result) ([]pageRun, error) {
	var out []pageRun
	reference := slices.IndexFunc(rs, func(x *Result) bool { return x.IsReference })
	batch := rs[0].Batch
	for run := range min(maxShownRuns, len(rs[0].Images)/batch) {
		i := run * batch
		shown := pageRun{Prompt: fmt.Sprintf("%s (seed %d)", rs[0].Images[i].Prompt, rs[0].Images[i].Seed)}
		for k, x := range rs {
			if i >= len(x.Images) {
				continue
			}
			img, err := picture.Load(x.Images[i].Picture)
			if err != nil {
				return nil, err
			}
			p := pagePicture{Label: x.name(), Image: dataURL(img)}
			p.Width = max(min(max(img.Rect.Dx(), img.Rect.Dy()), maxShownSide/2), minShownSide)
			if reference == k {
				p.Caption = "reference"
			} else if reference >= 0 && i < len(rs[reference].Images) {
				ref := rs[reference].Images[i : i+1]
				want, err := picture.Load(ref[0].Picture)
				if err != nil {
					return nil, err
				}
				q, err := compareImages(x.Images[i:i+1], ref)
				if err != nil {
					return nil, err
				}
				p.Caption, p.Diff = decibel(q.PSNR), dataURL(difference8(img, want))
				if q.PSNR < EqualPSNR {
					p.Caption += " dB"
				}
			}
			shown.Pictures = append(shown.Pictures, p)
		}
		out = append(out, shown)
	}
	return out, nil
}

// difference8 is the absolute difference of two pictures of a size, amplified.
func difference8(a, b *image.NRGBA) *image.NRGBA {
	out := image.NewNRGBA(a.Rect)
	for i := range out.Pix {
		if i%4 == 3 {
			out.Pix[i] = 255
			continue
		}
		d := int(a.Pix[i]) - int(b.Pix[i])
		out.Pix[i] = uint8(min(255, amplify*max(d, -d)))
	}
	return out
}

// dataURL is a picture, made smaller where it is large, as a part of the page.
func dataURL(img *image.NRGBA) template.URL {
	if w, h := img.Rect.Dx(), img.Rect.Dy(); max(w, h) > maxShownSide {
		k := float64(maxShownSide) / float64(max(w, h))
		small := image.NewNRGBA(image.Rect(0, 0, max(1, int(float64(w)*k+0.5)), max(1, int(float64(h)*k+0.5))))
		draw.CatmullRom.Scale(small, small.Rect, img, img.Rect, draw.Src, nil)
		img = small
	}
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		return "" // a buffer takes everything, and the size is positive
	}
	return template.URL("data:image/png;base64," + base64.StdEncoding.EncodeToString(b.Bytes())) //nolint:gosec // our own picture
}
