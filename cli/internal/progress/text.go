package progress

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/schollz/progressbar/v3"

	"github.com/daguerre-go/daguerre/internal/words"
)

const (
	lineInterval = 2 * time.Second       // between two plain progress lines
	barInterval  = 60 * time.Millisecond // between two drawings of a bar
	barWidth     = 24                    // cells
	linesOfRun   = 100                   // about as many plain lines has a long run for each time that it becomes three times as long
	promptRunes  = 60                    // of a prompt that are shown
)

// stageDone is the Stage of a job's last report; the pictures' own lines say more.
const stageDone = "done"

// StageWrite is the Stage of writing a large file; Done and Total are bytes then.
const StageWrite = "write"

// StageVerify is the Stage of reading one back; Done and Total are bytes, too.
const StageVerify = "verify"

// StageTiles is the Stage of enlarging a picture; Done and Total are tiles.
const StageTiles = "tiles"

// StageDownload is the Stage of fetching a file, and StageUnpack of taking it apart; Done and Total are bytes.
const (
	StageDownload = "download"
	StageUnpack   = "unpack"
)

// StageLoad is the Stage of reading a model's weights; Done and Total are bytes.
const StageLoad = "load"

// inBytes tells whether a stage counts bytes.
func inBytes(stage string) bool {
	return slices.Contains([]string{StageWrite, StageVerify, StageDownload, StageUnpack, StageLoad}, stage)
}

// TextOptions configures Text.
type TextOptions struct {
	Out, Err io.Writer        // results go to Out, progress and warnings to Err
	Bar      io.Writer        // the terminal behind Err: a bar is drawn on it in place of lines; nil: Err is no terminal
	Width    func() int       // columns of the terminal; nil: 80. Without a Bar lines are as long as they are
	Now      func() time.Time // the clock
	Note     string           // appended to each picture's line, in parentheses
}

// Text is a Reporter for people.
type Text struct {
	o TextOptions

	mu     sync.Mutex
	closed bool
	jobs   int
	images int
	bar    *progressbar.ProgressBar
	job    int       // of the bar
	stage  string    // of the bar
	part   string    // of the bar
	shown  string    // beside the bar, or as the last plain line
	began  time.Time // when the first plain line could have been written
	last   time.Time // of the last plain line

	overall bool // the bar or the lines are those of Overall; jobs have none of their own
}

// NewText returns a Reporter that writes text.
func NewText(o TextOptions) *Text {
	if o.Note != "" {
		o.Note = "  (" + o.Note + ")"
	}
	return &Text{o: o}
}

// Report shows the event.
func (t *Text) Report(e Event) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return
	}
	switch e := e.(type) {
	case Start:
		t.jobs, t.images = e.Jobs, e.Images
	case Model:
		reason := ""
		if e.PrecisionReason != "" {
			reason = " (" + e.PrecisionReason + ")"
		}
		weights := ""
		if e.WeightType != "" {
			weights = " of weights in " + e.WeightType
			if e.WeightReason != "" {
				weights += " (" + e.WeightReason + ")"
			}
		}
		t.stopBar()
		t.note("%s: %s on %s, %s%s, %s, opened in %s", words.OneLine(e.Model), e.Kind, e.Device, e.Precision, reason,
			words.Bytes(e.ParameterBytes)+weights, Seconds(e.Seconds))
	case JobStart:
		t.last = t.o.Now()
		t.note("%s%q  %dx%d, %d steps, seed %d%s", t.prefix(e.Job), shorten(e.Prompt), e.Width, e.Height, e.Steps, e.Seed, plural(e.Images))
	case Step:
		switch {
		case t.overall && !inBytes(e.Stage):
		case e.Stage == stageDone:
			t.stopBar()
		case t.o.Bar != nil:
			t.draw(e)
		default:
			t.line(e)
		}
	case Image:
		if t.bar != nil && t.bar.IsFinished() { // it is not to be drawn once more below the result
			t.stopBar()
		}
		t.result("%s  %dx%d  seed %d  %s%s", words.OneLine(e.Path), e.Width, e.Height, e.Seed, Seconds(cmp.Or(e.PictureSeconds, e.Seconds)),
			t.o.Note)
	case Latents:
		t.result("%s  latents %v", words.OneLine(e.Path), e.Shape)
	case File:
		t.result("%s  %s  %s", words.OneLine(e.Path), words.Bytes(e.Bytes), Seconds(e.Seconds))
	case Profile:
		t.note("%s", e.String())
	case Overall:
		t.showOverall(e)
	case Retry:
		t.note("%d of the pictures once more: %s", e.Images, e.Reason)
	case Resume:
		t.note("continuing an earlier run: %d of %d pictures are there (--fresh begins anew)", e.Finished, e.Images)
	case Note:
		t.note("%s", strings.ReplaceAll(e.Message, "\n", "\n  "))
	case Warning:
		t.note("warning: %s", strings.ReplaceAll(e.Message, "\n", "\n  ")) // so that no part of it looks like another message
	case Failed:
		t.stopBar()
	case Done:
		t.stopBar()
		if e.Images > 1 {
			text := fmt.Sprintf("%d pictures in %s", e.Images, Seconds(e.Seconds))
			if s := speed(e.ImagesPerSecond); s != "" {
				text += ", " + s
			}
			t.note("%s", text)
		}
		for _, s := range e.Batches { // of several pictures
			t.note("  %s: batches of %d (%s)", s.Kind, s.Size, s.Why)
		}
	}
}

// Close removes the bar.
func (t *Text) Close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stopBar()
	t.closed = true
}

// note writes a line to Err and result one to Out; a bar makes room for it and is drawn again.
func (t *Text) note(format string, args ...any)   { t.print(t.o.Err, format, args...) }
func (t *Text) result(format string, args ...any) { t.print(t.o.Out, format, args...) }

func (t *Text) print(w io.Writer, format string, args ...any) {
	if t.bar != nil {
		_ = t.bar.Clear() // drawing problems are not worth a picture
	}
	text := fmt.Sprintf(format, args...)
	if t.o.Bar != nil && w == t.o.Err {
		text = t.folded(text)
	}
	_, _ = fmt.Fprintln(w, text)
	if t.bar != nil {
		_ = t.bar.RenderBlank()
	}
}

// folded breaks the lines of a text at the terminal's width.
func (t *Text) folded(text string) string {
	const hang = "  "
	width := t.width()
	var out []string
	for _, line := range strings.Split(text, "\n") {
		if utf8.RuneCountInString(line) <= width {
			out = append(out, line)
			continue
		}
		head := line[:len(line)-len(strings.TrimLeft(line, " "))]
		for i, part := range words.Wrap(line, max(width-len(head)-len(hang), 1)) {
			if i > 0 {
				part = hang + part
			}
			out = append(out, head+part)
		}
	}
	return strings.Join(out, "\n")
}

// prefix numbers jobs where there are several.
func (t *Text) prefix(job int) string {
	if t.jobs < 2 {
		return ""
	}
	return fmt.Sprintf("job %d/%d  ", job+1, t.jobs)
}

// speed writes a known speed for people: "2.5 pictures/s", "3.1 pictures/min", "12 pictures/h".
func speed(perSecond float64) string {
	switch {
	case perSecond <= 0:
		return ""
	case perSecond >= 1:
		return fmt.Sprintf("%.1f pictures/s", perSecond)
	case perSecond*60 >= 1:
		return fmt.Sprintf("%.1f pictures/min", perSecond*60)
	}
	return fmt.Sprintf("%.1f pictures/h", perSecond*3600)
}

func plural(images int) string {
	if images < 2 {
		return ""
	}
	return fmt.Sprintf(", %d pictures", images)
}

// shorten cuts a prompt for display; line breaks become spaces.
func shorten(s string) string {
	s = strings.Join(strings.FieldsFunc(s, unicode.IsSpace), " ")
	if r := []rune(s); len(r) > promptRunes {
		return string(r[:promptRunes]) + "…"
	}
	return s
}

// Seconds writes a duration for people: "0.9 s", "75 s", "3 min 20 s", "2 h 5 min".
func Seconds(s float64) string {
	switch n := int(s + 0.5); {
	case s < 9.95:
		return fmt.Sprintf("%.1f s", max(s, 0))
	case n < 100:
		return fmt.Sprintf("%d s", n)
	case n < 3600:
		return fmt.Sprintf("%d min %d s", n/60, n%60)
	default:
		return fmt.Sprintf("%d h %d min", n/3600, n%3600/60)
	}
}
