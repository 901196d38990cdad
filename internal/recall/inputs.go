package recall

import (
	"path/filepath"
	"slices"

	"github.com/daguerre-go/daguerre/internal/npy"
	"github.com/daguerre-go/daguerre/internal/picture"
	near "github.com/daguerre-go/daguerre/internal/words"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// inMemory stands in manifests for an input that had no file.
const inMemory = "(in memory)"

// flags are the flags that give an input.
var flags = map[string]string{"init_image": "--image", "mask_image": "--mask", "noise": "--noise", "latents": "--latents"}

// sumOf is the sum that the picture tells of an input; "": it tells none.
func (f *Found) sumOf(key string) string {
	for _, g := range f.given {
		if g.key == key {
			return g.sum
		}
	}
	return ""
}

// findInputs finds the pictures and arrays of a job: in the working directory, or beside the picture.
func (f *Found) findInputs(run *request.Run, job int, beside string, errs *request.Errors) {
	names := map[string]string{}
	was := f.Run.Jobs[0]
	was.Inputs(func(key string, p *request.Picture) { names[key] = p.Path }, func(key string, a *request.Array) { names[key] = a.Path })
	find := func(key, name string, sum func(path string) (string, error)) string {
		if name == "" || name != names[key] {
			return name
		}
		at := run.Path(job, key)
		remedy := "put the file into this folder or beside the picture"
		if flag := flags[key]; flag != "" {
			remedy += ", or give it with " + flag
		}
		if name == inMemory {
			errs.AddFile(at, "was given without a file, so that its name is not known; %s", remedyOf(key))
			return name
		}
		want, other, otherSum := f.sumOf(key), "", ""
		paths := []string{name}
		if beside != "" && !filepath.IsAbs(name) {
			paths = append(paths, filepath.Join(beside, name))
		}
		for _, path := range paths {
			is, err := sum(path)
			if err != nil {
				continue
			}
			if is == want {
				return path
			}
			if other == "" {
				other, otherSum = path, is
			}
		}
		switch {
		case other == "":
			errs.AddFile(at, "%s is not here; %s", near.Quote(name), remedy)
		case want == "":
			f.note("%s: the picture does not tell the sum of %s; another picture of this name would not be noticed", key, other)
		default:
			f.differs("%s: %s does not have the contents that the picture was made with (%s instead of %s). The picture will differ", key, other,
				short(otherSum), short(want))
		}
		return other
	}
	r := &run.Jobs[job]
	for _, key := range f.needs {
		if key == "init_image" && r.InitImage.IsZero() || key == "mask_image" && r.MaskImage.IsZero() {
			errs.AddFile(run.Path(job, key), "was used, and the picture's text does not name it; %s", remedyOf(key))
		}
	}
	r.Inputs(func(key string, p *request.Picture) {
		p.Path = find(key, p.Path, func(path string) (string, error) {
			img, err := picture.Read(path, request.MaxPixels)
			if err != nil {
				return "", err
			}
			return picture.Sum(img), nil
		})
	}, func(key string, a *request.Array) {
		if a.Path = find(key, a.Path, arraySum); a.Path != "" && len(*errs) == 0 {
			f.row(r, key, a)
		}
	})
}

func remedyOf(key string) string {
	if flag := flags[key]; flag != "" {
		return "give it with " + flag
	}
	return "write a run file with \"daguerre request from-png\" and name the file there"
}

func arraySum(path string) (string, error) {
	a, err := npy.ReadTensor(path)
	return a.Sum(), err
}

// row takes the one of several noises or latents that the picture was made with.
func (f *Found) row(r *request.Request, key string, a *request.Array) {
	if key != "noise" && key != "latents" {
		return
	}
	read, err := npy.ReadTensor(a.Path)
	if err != nil || len(read.Shape) != 4 || read.Shape[0] < 2 || f.Made.Index >= read.Shape[0] || r.NumImages > 1 {
		return // one for all pictures; what is wrong is found where it is used
	}
	n := len(read.Data) / read.Shape[0]
	a.Shape = append([]int{1}, read.Shape[1:]...)
	a.Data = slices.Clone(read.Data[f.Made.Index*n:][:n])
	f.note("%s: %s has %d rows, and row %d is used, as for the picture", key, a.Path, read.Shape[0], f.Made.Index)
}

// Needs tells, in words, which inputs the picture was made from that its text does not name.
func (f *Found) Needs() (out []string) {
	for _, key := range f.needs {
		out = append(out, key+" was used, and the picture's text does not name it")
	}
	return out
}
