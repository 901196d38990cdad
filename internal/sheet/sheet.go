// Package sheet draws pictures side by side, with labels: the grids of tables, and contact sheets.
package sheet

import (
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"strings"

	xdraw "golang.org/x/image/draw"
	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/math/fixed"

	"github.com/daguerre-go/daguerre/internal/picture"
)

// MaxSide is the longest side of a sheet in pixels. Pictures are made smaller if they do not fit.
const MaxSide = 8192

// Sheet says what is drawn: blocks one below the other, each with a title, rows and columns.
type Sheet struct {
	Columns []string    // labels above the columns; "": none
	Rows    []string    // labels left of the rows; "": none
	Blocks  []string    // titles of the blocks; "": none
	Cell    image.Point // size of the largest picture
	// Picture returns the picture of a cell; nil: there is none. It is called once for each cell.
	Picture func(column, row, block int) (image.Image, error)
	// Caption is the text below a picture; nil: there are none.
	Caption func(column, row, block int) string
}

// The colours of a sheet.
var (
	paper = color.NRGBA{R: 255, G: 255, B: 255, A: 255}
	ink   = color.NRGBA{R: 24, G: 24, B: 24, A: 255}
	empty = color.NRGBA{R: 232, G: 232, B: 232, A: 255}
)

// Sizes in pixels, and shares of a cell.
const (
	gap          = 6
	smallestText = 12
	largestText  = 40
	textShare    = 18 // a text is this part of a cell high
	mostLines    = 4
	labelShare   = 0.6 // the widest label of a row, as a share of a cell
)

// layout is where things are.
type layout struct {
	*Sheet
	face          font.Face
	line          int // height of a line of text
	cell          image.Point
	left, top     int // room of the labels of rows and columns
	title, bottom int // room of a block's title, and of captions
	rows, columns [][]string
	captions      map[[3]int][]string // by column, row and block
}

// Draw draws a sheet.
func (s *Sheet) Draw() (*image.NRGBA, error) {
	if len(s.Columns) == 0 || len(s.Rows) == 0 || len(s.Blocks) == 0 || s.Cell.X < 1 || s.Cell.Y < 1 {
		return nil, fmt.Errorf("a sheet of %d x %d x %d pictures has none", len(s.Columns), len(s.Rows), len(s.Blocks))
	}
	l, err := s.layout()
	if err != nil {
		return nil, err
	}
	defer func() { _ = l.face.Close() }()
	width, block := l.left+len(s.Columns)*(l.cell.X+gap)+gap, l.block()
	out := image.NewNRGBA(image.Rect(0, 0, width, len(s.Blocks)*block+gap))
	draw.Draw(out, out.Bounds(), image.NewUniform(paper), image.Point{}, draw.Src)
	for b := range s.Blocks {
		if err := l.drawBlock(out, b, b*block); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// block is the height of a block.
func (l *layout) block() int { return gap + l.title + l.top + len(l.Rows)*(l.cell.Y+l.bottom+gap) }

// layout finds the sizes: pictures as large as they are, or smaller so that the sheet has no side longer than MaxSide.
func (s *Sheet) layout() (*layout, error) {
	scale := 1.0
	for _, side := range []struct{ n, pixels int }{{len(s.Columns) + 1, s.Cell.X + gap}, {(len(s.Rows) + 1) * len(s.Blocks), s.Cell.Y + gap}} {
		scale = min(scale, MaxSide/float64(side.n*side.pixels))
	}
	l := &layout{Sheet: s, cell: image.Pt(max(int(float64(s.Cell.X)*scale), 1), max(int(float64(s.Cell.Y)*scale), 1))}
	parsed, err := opentype.Parse(goregular.TTF)
	if err != nil {
		return nil, err
	}
	size := float64(min(max(l.cell.X/textShare, smallestText), largestText))
	if l.face, err = opentype.NewFace(parsed, &opentype.FaceOptions{Size: size, DPI: 72, Hinting: font.HintingFull}); err != nil {
		return nil, err
	}
	l.line = l.face.Metrics().Height.Ceil()
	for _, text := range s.Columns {
		lines := l.wrap(text, l.cell.X)
		l.columns = append(l.columns, lines)
		l.top = max(l.top, l.room(lines))
	}
	for _, text := range s.Rows {
		lines := l.wrap(text, max(int(labelShare*float64(l.cell.X)), int(8*size)))
		l.rows = append(l.rows, lines)
		for _, line := range lines {
			l.left = max(l.left, font.MeasureString(l.face, line).Ceil()+2*gap)
		}
	}
	for _, text := range s.Blocks {
		if text != "" {
			l.title = l.line + gap
		}
	}
	l.left = max(l.left, gap)
	l.readCaptions()
	return l, nil
}

// readCaptions asks for all captions, and makes room for the longest.
func (l *layout) readCaptions() {
	if l.Caption == nil {
		return
	}
	l.captions = map[[3]int][]string{}
	for b := range l.Blocks {
		for r := range l.Rows {
			for c := range l.Columns {
				lines := l.wrap(l.Caption(c, r, b), l.cell.X)
				l.captions[[3]int{c, r, b}] = lines
				l.bottom = max(l.bottom, l.room(lines))
			}
		}
	}
}

func (l *layout) room(lines []string) int {
	if len(lines) == 0 {
		return 0
	}
	return len(lines)*l.line + gap
}

// wrap breaks a text into lines of at most so many pixels. What does not fit into mostLines ends in dots.
func (l *layout) wrap(text string, width int) (lines []string) {
	fits := func(s string) bool { return font.MeasureString(l.face, s).Ceil() <= width }
	line := ""
	for _, word := range strings.Fields(text) {
		for !fits(word) && len([]rune(word)) > 1 { // a word that is too long is cut
			n := len([]rune(word))
			for n > 1 && !fits(string([]rune(word)[:n])) {
				n--
			}
			if line != "" {
				lines, line = append(lines, line), ""
			}
			lines, word = append(lines, string([]rune(word)[:n])), string([]rune(word)[n:])
		}
		switch joined := strings.TrimSpace(line + " " + word); {
		case fits(joined):
			line = joined
		default:
			lines, line = append(lines, line), word
		}
	}
	if line != "" {
		lines = append(lines, line)
	}
	if len(lines) > mostLines {
		lines = lines[:mostLines]
		last := []rune(lines[mostLines-1])
		for len(last) > 0 && !fits(string(last)+"...") {
			last = last[:len(last)-1]
		}
		lines[mostLines-1] = string(last) + "..."
	}
	return lines
}

// drawBlock draws a block from a height on.
func (l *layout) drawBlock(out *image.NRGBA, b, y int) error {
	y += gap
	if l.title > 0 {
		l.text(out, l.Blocks[b], image.Rect(l.left, y, out.Rect.Max.X, y+l.line))
		y += l.title
	}
	for c, lines := range l.columns {
		x := l.left + c*(l.cell.X+gap)
		l.lines(out, lines, image.Rect(x, y, x+l.cell.X, y+l.top-gap))
	}
	y += l.top
	for r := range l.Rows {
		l.lines(out, l.rows[r], image.Rect(0, y, l.left, y+l.cell.Y))
		for c := range l.Columns {
			at := image.Rect(0, 0, l.cell.X, l.cell.Y).Add(image.Pt(l.left+c*(l.cell.X+gap), y))
			if err := l.picture(out, at, c, r, b); err != nil {
				return err
			}
			for i, line := range l.captions[[3]int{c, r, b}] {
				l.text(out, line, image.Rect(at.Min.X, at.Max.Y+i*l.line, at.Max.X, at.Max.Y+(i+1)*l.line))
			}
		}
		y += l.cell.Y + l.bottom + gap
	}
	return nil
}

// picture draws a cell's picture in the middle of its place, or an empty one.
func (l *layout) picture(out *image.NRGBA, at image.Rectangle, c, r, b int) error {
	img, err := l.Picture(c, r, b)
	if err != nil {
		return err
	}
	if img == nil {
		draw.Draw(out, at, image.NewUniform(empty), image.Point{}, draw.Src)
		return nil
	}
	size := img.Bounds().Size()
	scale := min(float64(at.Dx())/float64(size.X), float64(at.Dy())/float64(size.Y), 1)
	w, h := max(int(float64(size.X)*scale+0.5), 1), max(int(float64(size.Y)*scale+0.5), 1)
	if w != size.X || h != size.Y {
		img = picture.Resize(picture.Opaque(img), w, h)
	}
	place := image.Rect(0, 0, w, h).Add(at.Min).Add(image.Pt((at.Dx()-w)/2, (at.Dy()-h)/2))
	xdraw.Copy(out, place.Min, picture.Opaque(img), image.Rect(0, 0, w, h), xdraw.Src, nil)
	return nil
}

// lines draws lines in the middle of a place.
func (l *layout) lines(out *image.NRGBA, lines []string, at image.Rectangle) {
	y := at.Min.Y + (at.Dy()-len(lines)*l.line)/2
	for i, line := range lines {
		l.text(out, line, image.Rect(at.Min.X, y+i*l.line, at.Max.X, y+(i+1)*l.line))
	}
}

// text draws a line in the middle of a place.
func (l *layout) text(out *image.NRGBA, text string, at image.Rectangle) {
	d := font.Drawer{Dst: out, Src: image.NewUniform(ink), Face: l.face}
	x := at.Min.X + (at.Dx()-d.MeasureString(text).Ceil())/2
	d.Dot = fixed.P(max(x, at.Min.X), at.Min.Y+l.face.Metrics().Ascent.Ceil())
	d.DrawString(text)
}
