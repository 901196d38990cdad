package progress

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/schollz/progressbar/v3"

	"github.com/daguerre-go/daguerre/internal/words"
)

// draw moves the bar of a job or another long task, or begins one.
func (t *Text) draw(e Step) {
	if e.Total <= 0 {
		return
	}
	if t.bar == nil || t.job != e.Job || t.part != e.Part || t.stage != e.Stage && (inBytes(e.Stage) || inBytes(t.stage)) {
		t.stopBar()
		t.bar = t.newBar(e.Total)
	}
	t.job, t.stage, t.part = e.Job, e.Stage, e.Part
	t.show(e.Done, e.Total, append([]string{t.amount(e)}, rest(e)...))
}

// amount says what is done, and how much of it.
func (t *Text) amount(e Step) string {
	what := strings.TrimSpace(e.Stage + " " + words.OneLine(e.Part))
	switch {
	case inBytes(e.Stage) && e.Done == 0:
		return what + ", " + words.Bytes(e.Total)
	case inBytes(e.Stage):
		done, total := words.Bytes(e.Done), words.Bytes(e.Total)
		if _, unit, _ := strings.Cut(total, " "); strings.HasSuffix(done, " "+unit) {
			done = strings.TrimSuffix(done, " "+unit)
		}
		return what + " " + done + "/" + total
	}
	return fmt.Sprintf("%s%s %d/%d", t.prefix(e.Job), what, e.Done, e.Total)
}

// least is how long a task must have gone on, in seconds, before what is left of it is told.
const least = 1

// rest says how long the rest takes and how fast it goes, if that is known.
func rest(e Step) (out []string) {
	if e.ETASeconds > 0 && e.Done > 0 && e.Done < e.Total && (e.Seconds == 0 || e.Seconds >= least) {
		out = append(out, Seconds(e.ETASeconds)+" to go")
	}
	switch {
	case e.StepsPerSecond >= 1:
		out = append(out, fmt.Sprintf("%.1f steps/s", e.StepsPerSecond))
	case e.StepsPerSecond > 0:
		out = append(out, fmt.Sprintf("%.3g s a step", 1/e.StepsPerSecond))
	}
	return out
}

// show draws the bar with as many of the parts behind it as the terminal has room for.
func (t *Text) show(done, total int64, parts []string) {
	const around = len(" 100% ||  ") + 1 // the bar, and the last column, which some terminals cannot fill without a new line
	room := t.width() - barCells(t.width()) - around
	text := ""
	for _, p := range parts {
		next := p
		if text != "" {
			next = text + ", " + p
		}
		if r := []rune(next); len(r) > room {
			if text == "" {
				text = string(r[:max(room, 0)])
			}
			break
		}
		text = next
	}
	if text != t.shown {
		t.shown = text
		t.bar.Describe(text)
	}
	_ = t.bar.Set64(min(done, total)) // drawing problems are not worth a picture
}

// width is that of the terminal.
func (t *Text) width() int {
	if t.o.Width == nil {
		return 80
	}
	return cmp.Or(t.o.Width(), 80)
}

// barCells is the length of a bar in a terminal.
func barCells(width int) int { return min(max(width/6, 6), barWidth) }

func (t *Text) newBar(total int64) *progressbar.ProgressBar {
	t.shown = ""
	return progressbar.NewOptions64(total,
		progressbar.OptionSetWriter(t.o.Bar), progressbar.OptionSetWidth(barCells(t.width())),
		progressbar.OptionSetPredictTime(false), progressbar.OptionSetElapsedTime(false), progressbar.OptionShowDescriptionAtLineEnd(),
		progressbar.OptionThrottle(barInterval), progressbar.OptionUseANSICodes(true),
		progressbar.OptionSetTheme(progressbar.Theme{Saucer: "█", SaucerHead: "█", SaucerPadding: "░", BarStart: "|", BarEnd: "|"}))
}

func (t *Text) stopBar() {
	if t.bar != nil {
		_ = t.bar.Clear()
		t.bar = nil
	}
}

// line writes a plain progress line.
func (t *Text) line(e Step) {
	if e.Total <= 0 || e.Done >= e.Total && !inBytes(e.Stage) {
		return
	}
	t.plain(strings.Join(append([]string{t.amount(e)}, rest(e)...), ", "))
}

// plain writes a line if it says something new and the last one is some time ago: lineInterval, and longer the longer the run is.
func (t *Text) plain(text string) {
	now := t.o.Now()
	if t.began.IsZero() {
		t.began = now
	}
	if text == t.shown || now.Sub(t.last) < max(lineInterval, now.Sub(t.began)/linesOfRun) {
		return
	}
	t.last, t.shown = now, text
	t.note("%s", text)
}

// showOverall draws the bar of the whole run, or writes a plain line.
func (t *Text) showOverall(e Overall) {
	if !t.overall {
		t.stopBar()
		t.overall = true
	}
	if e.Total <= 0 {
		return
	}
	parts := []string{fmt.Sprintf("%d/%d pictures", e.Finished, e.Images)}
	if e.ETASeconds > 0 && e.Finished < e.Images {
		parts = append(parts, Seconds(e.ETASeconds)+" to go")
	}
	if s := speed(e.ImagesPerSecond); s != "" {
		parts = append(parts, s)
	}
	if e.BatchSize > 1 {
		parts = append(parts, fmt.Sprintf("batch of %d", e.BatchSize))
	}
	switch {
	case t.o.Bar == nil:
		if e.Finished < e.Images { // the last line of the run says the rest
			t.plain(strings.Join(slices.Insert(parts, 1, fmt.Sprintf("%d %%", 100*e.Done/e.Total)), ", "))
		}
	default:
		if t.bar == nil {
			t.bar = t.newBar(e.Total)
		}
		t.show(e.Done, e.Total, parts)
	}
}
