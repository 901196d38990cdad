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
	"strings"

	"golang.org/x/image/draw"

	"github.com/daguerre-go/daguerre/internal/picture"
	"github.com/daguerre-go/daguerre/internal/words"
)

//go:embed report.html.tmpl
var pageText string

var page = template.Must(template.New("report").Funcs(template.FuncMap{"size": size, "bytes": Bytes,
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
	groups, order := map[string][]*Result{}, []string{}
	for i := range r.Results {
		x := &r.Results[i]
		if x.Error != "" {
			continue
		}
		key := x.peer()
		if groups[key] == nil {
			order = append(order, key)
		}
		groups[key] = append(groups[key], x)
	}
	for _, key := range order {
		g, err := r.group(groups[key], len(order) > 1)
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
		timeChart("One denoising step, s", rs, func(x *Result) Summary { return x.Step }),
		timeChart("One picture, from prompt to pixels, s", rs, func(x *Result) Summary { return x.Image }),
		memoryChart(rs), fileChart(rs)}
	if c, ok := fidelityChart(rs); ok {
		g.Charts = append(g.Charts, c)
	}
	if c, ok := checkedChart(rs); ok {
		g.Charts = append(g.Charts, c)
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
		if r.Advice != nil {
			for _, key := range r.Advice.Front {
				if key == x.Key {
					class = "bubble front"
				}
			}
			if r.Advice.Choice == x.Key {
				class = "bubble front choice"
			}
		}
		p := point{x: x.Image.Median, size: float64(x.memory()), label: x.Type, class: class,
			tip: fmt.Sprintf("%s: %.3g s a picture, %s, %s", x.Type, x.Image.Median, words.Measured(x.memory()), fidelityText(x))}
		if x.Quality != nil && x.Quality.PSNRWorst < EqualPSNR {
			p.y = x.Quality.PSNRWorst
			points = append(points, p)
		} else {
			atTop = append(atTop, p)
		}
	}
	return scatterChart("speed, fidelity and memory of each type", "seconds a picture →", "PSNR of the worst picture, dB ↑", points, atTop)
}

func timeChart(title string, rs []*Result, of func(*Result) Summary) pageChart {
	var bars []bar
	for _, x := range rs {
		s := of(x)
		bars = append(bars, bar{label: x.Type, parts: []barPart{{"bar", s.Median, fmt.Sprintf("median %.4g, quartiles %.4g and %.4g, of %d", s.Median, s.Q1, s.Q3, s.N)}},
			lo: s.Q1, hi: s.Q3, value: fmt.Sprintf("%.3g", s.Median)})
	}
	return chart(title, bars)
}

func chart(title string, bars []bar) pageChart {
	return pageChart{Title: title, SVG: template.HTML(barChart(title, bars))} //nolint:gosec // canvas escapes all texts
}

// memoryParts are the pieces of the memory chart, with their classes.
var memoryParts = []struct{ class, name string }{{"m0", "unet"}, {"m1", "text_encoder"}, {"m2", "text_encoder_2"}, {"m3", "vae_encoder"}, {"m4", "vae_decoder"}, {"m5", "buffer"}}

// memoryChart stacks native memory by component, and names the resident peak behind it.
func memoryChart(rs []*Result) pageChart {
	const title = "Memory, MiB: native by component; behind it the peak of the process"
	var bars []bar
	for _, x := range rs {
		b := bar{label: x.Type, value: words.Measured(x.memory())}
		var buffer int64
		for _, part := range memoryParts {
			var bytes int64
			for _, c := range x.Components {
				buffer = max(buffer, c.ComputeBytes)
				if c.Name == part.name {
					bytes = c.ParameterBytes
				}
			}
			if part.name == "buffer" {
				bytes = buffer
			}
			if bytes > 0 {
				b.parts = append(b.parts, barPart{part.class, mebi(bytes), part.name + " " + words.Measured(bytes)})
			}
		}
		if rest := x.memory() - x.NativeBytes; rest > 0 {
			b.parts = append(b.parts, barPart{"m6", mebi(rest), "the rest of the process's " + words.Measured(x.memory())})
		}
		bars = append(bars, b)
	}
	c := chart(title, bars)
	for _, p := range memoryParts {
		c.Legend = append(c.Legend, [2]string{p.class, strings.ReplaceAll(p.name, "_", " ")})
	}
	c.Legend = append(c.Legend, [2]string{"m6", "rest of the process"})
	return c
}

func mebi(n int64) float64 { return float64(n) / (1 << 20) }

func fileChart(rs []*Result) pageChart {
	var bars []bar
	for _, x := range rs {
		bars = append(bars, bar{label: x.Type, parts: []barPart{{"bar", mebi(x.FileBytes), words.Measured(x.FileBytes)}}, value: words.Measured(x.FileBytes)})
	}
	return chart("File, MiB", bars)
}

func fidelityChart(rs []*Result) (pageChart, bool) {
	var bars []bar
	some := false
	for _, x := range rs {
		q := x.Quality
		switch {
		case q == nil:
			bars = append(bars, bar{label: x.Type, value: fidelityText(x), empty: true})
		case q.PSNRWorst >= EqualPSNR:
			bars = append(bars, bar{label: x.Type, value: "equal pictures", empty: true})
		default:
			some = true
			tip := fmt.Sprintf("median %s dB, worst %s dB, SSIM %.4f, latents NMSE %.2g", decibel(q.PSNR), decibel(q.PSNRWorst), q.SSIM, q.NMSE)
			bars = append(bars, bar{label: x.Type, parts: []barPart{{"bar good", q.PSNR, tip}}, lo: q.PSNRWorst, hi: q.PSNR, value: decibel(q.PSNR)})
		}
	}
	return chart("Fidelity: PSNR against the reference, dB; the whisker ends at the worst picture", bars), some
}

func checkedChart(rs []*Result) (pageChart, bool) {
	var bars []bar
	some := false
	for _, x := range rs {
		if c := x.Checked; c != nil {
			some = true
			bars = append(bars, bar{label: x.Type, parts: []barPart{{"bar good", 100 * float64(c.Right) / float64(max(c.Pictures, 1)),
				fmt.Sprintf("colour %d, background %d, shape %d, all %d of %d", c.Colour, c.Background, c.Shape, c.Right, c.Pictures)}}, value: x.checkedCell()})
		}
	}
	return chart("Pictures that show what was asked for, %", bars), some
}

// pictures are the first ones of some runs, of every case.
func (r *Report) pictures(rs []*Result) ([]pageRun, error) {
	var ref *Result
	for _, x := range rs {
		if x.IsReference {
			ref = x
		}
	}
	var out []pageRun
	batch := rs[0].Batch
	for run := range min(maxShownRuns, len(rs[0].Images)/batch) {
		i := run * batch
		shown := pageRun{Prompt: fmt.Sprintf("%s (seed %d)", rs[0].Images[i].Prompt, rs[0].Images[i].Seed)}
		for _, x := range rs {
			if i >= len(x.Images) {
				continue
			}
			img, err := picture.Load(x.Images[i].Picture)
			if err != nil {
				return nil, err
			}
			p := pagePicture{Label: x.Type, Caption: "reference", Image: dataURL(img)}
			p.Width = max(min(max(img.Rect.Dx(), img.Rect.Dy()), maxShownSide/2), minShownSide)
			if ref != nil && x != ref && i < len(ref.Images) {
				want, err := picture.Load(ref.Images[i].Picture)
				if err != nil {
					return nil, err
				}
				q, err := compareImages(x.Images[i:i+1], ref.Images[i:i+1])
				if err != nil {
					return nil, err
				}
				p.Caption, p.Diff = decibel(q.PSNR), dataURL(difference8(img, want))
				if q.PSNR < EqualPSNR {
					p.Caption += " dB"
				}
			} else if x != ref {
				p.Caption = ""
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
