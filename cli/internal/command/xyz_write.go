package command

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"image"
	"math"
	"strconv"

	"github.com/daguerre-go/daguerre/cli/internal/progress"
	"github.com/daguerre-go/daguerre/internal/imagefile"
	"github.com/daguerre-go/daguerre/internal/output"
	"github.com/daguerre-go/daguerre/internal/picture"
	"github.com/daguerre-go/daguerre/internal/sheet"
	"github.com/daguerre-go/daguerre/internal/table"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// write writes the grid and the CSV of a table whose pictures are complete.
func (t *tableRun) write(o generateOptions, env Env, r progress.Reporter) error {
	w := &output.Writer{Overwrite: o.overwrite}
	grid, err := t.grid()
	if err != nil {
		return err
	}
	name, err := t.place(env, t.Grid, tableGrid)
	if err != nil {
		return err
	}
	listName, err := t.place(env, t.CSV, tableCSV)
	if err != nil {
		return err
	}
	format, err := imagefile.FormatOf(name)
	if err != nil {
		return &usageError{message: "the grid: " + err.Error()}
	}
	data, err := imagefile.Encode(grid, format, imagefile.EncodeOptions{})
	if err != nil {
		return err
	}
	list, err := t.csv()
	if err != nil {
		return err
	}
	for _, f := range []struct {
		name string
		data []byte
	}{{name, data}, {listName, list}} {
		began := env.Now()
		path, err := w.Write(f.name, f.data)
		if err != nil {
			return &outputError{fmt.Errorf("saving the table: %w", err)}
		}
		r.Report(progress.File{Path: path, Bytes: int64(len(f.data)), Seconds: env.Now().Sub(began).Seconds()})
	}
	return nil
}

// number is the number of the cell at a place.
func (t *tableRun) number(x, y, z int) int {
	size := t.Size()
	return (z*size[1]+y)*size[0] + x
}

// labels are those of an axis.
func labels(a table.Axis) []string {
	if a.Key == "" {
		return []string{""}
	}
	var out []string
	for i := range a.Values {
		text := a.Label(i)
		if a.Key != table.Replace {
			text = a.Key + ": " + text
		}
		if text == "" || a.Key == "prompt" {
			text = a.Label(i)
		}
		out = append(out, text)
	}
	return out
}

// grid draws the labelled grid.
func (t *tableRun) grid() (image.Image, error) {
	var cell image.Point
	for i := range t.cells {
		size, err := t.cellSize(i)
		if err != nil {
			return nil, err
		}
		cell = image.Pt(max(cell.X, size.X), max(cell.Y, size.Y))
	}
	s := sheet.Sheet{Columns: labels(t.Axes[0]), Rows: labels(t.Axes[1]), Blocks: labels(t.Axes[2]), Cell: cell,
		Picture: func(x, y, z int) (image.Image, error) { return t.cellPicture(t.number(x, y, z)) }}
	return s.Draw()
}

// images is how many pictures a cell has.
func (t *tableRun) images(cell int) int { return max(t.cells[cell].Job.NumImages, 1) }

// across is how many of a cell's pictures stand beside each other.
func across(n int) int { return int(math.Ceil(math.Sqrt(float64(n)))) }

// cellSize is the size of a cell's pictures together.
func (t *tableRun) cellSize(cell int) (image.Point, error) {
	img, err := picture.ReadSize(t.paths[[2]int{cell, 0}], request.MaxPixels)
	if err != nil {
		return image.Point{}, err
	}
	n, size := t.images(cell), img.Bounds().Size()
	wide := across(n)
	return image.Pt(size.X*wide, size.Y*((n+wide-1)/wide)), nil
}

// cellPicture is a cell's picture, or its pictures side by side.
func (t *tableRun) cellPicture(cell int) (image.Image, error) {
	n := t.images(cell)
	if n == 1 {
		return picture.Read(t.paths[[2]int{cell, 0}], request.MaxPixels)
	}
	size, err := t.cellSize(cell)
	if err != nil {
		return nil, err
	}
	out, wide := image.NewNRGBA(image.Rectangle{Max: size}), across(n)
	for k := range n {
		img, err := picture.Read(t.paths[[2]int{cell, k}], request.MaxPixels)
		if err != nil {
			return nil, err
		}
		one := picture.Opaque(img)
		at := image.Pt(k%wide*one.Rect.Dx(), k/wide*one.Rect.Dy())
		for y := range one.Rect.Dy() {
			copy(out.Pix[out.PixOffset(at.X, at.Y+y):], one.Pix[one.PixOffset(0, y):][:4*one.Rect.Dx()])
		}
	}
	return out, nil
}

// csv lists the pictures: the values of the axes, the seed and the file.
func (t *tableRun) csv() ([]byte, error) {
	var out bytes.Buffer
	w := csv.NewWriter(&out)
	head := []string{"cell"}
	for _, a := range t.Axes {
		if a.Key != "" {
			head = append(head, a.Name+": "+a.Key)
		}
	}
	_ = w.Write(append(head, "picture", "picture seed", "file")) // errors are kept for the end
	for i, cell := range t.cells {
		for k := range t.images(i) {
			row := []string{strconv.Itoa(i)}
			for n, a := range t.Axes {
				if a.Key != "" {
					row = append(row, a.Label(cell.At[n]))
				}
			}
			_ = w.Write(append(row, strconv.Itoa(k), strconv.FormatInt(t.seeds[i]+int64(k), 10), t.paths[[2]int{i, k}]))
		}
	}
	w.Flush()
	return out.Bytes(), w.Error()
}
