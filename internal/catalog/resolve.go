package catalog

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/daguerre-go/daguerre/internal/npy"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// Inputs calls f for each input of a run that is a file: a picture, or an array. f may change it.
func Inputs(run *request.Run, picture func(at string, p *request.Picture) error, array func(at string, a *request.Array) error) error {
	var err error
	for i := range run.Jobs {
		run.Jobs[i].Inputs(func(key string, p *request.Picture) {
			if err == nil {
				err = picture(run.Path(i, key), p)
			}
		}, func(key string, a *request.Array) {
			if err == nil {
				err = array(run.Path(i, key), a)
			}
		})
	}
	return err
}

// errRemote is the error of what needs the files themselves, where only their names are known.
var errRemote = request.Errors{{Path: "model", File: true,
	Message: "its files are on the workers of the fleet, and this server has only their names"}}

// Resolve puts the files of this machine in the place of a run's names: fetch returns what was uploaded.
func (c *Catalog) Resolve(run *request.Run, fetch func(id string) ([]byte, error)) error {
	if c.listed != nil {
		return errRemote
	}
	m, ok := c.Find(run.Model.Model)
	if !ok {
		return request.Errors{{Path: "model", Message: fmt.Sprintf("the model %q is not here any more", run.Model.Model), File: true}}
	}
	table := m.Defaults.Model
	for _, f := range []struct {
		kind Kind
		name string
		to   *string
	}{{VAE, run.Model.VAE, &table.VAE}, {Refiner, run.Model.Refiner, &table.Refiner}, {Upscaler, run.Model.Upscaler, &table.Upscaler}} {
		if f.name == "" {
			continue
		}
		path, err := c.path(f.kind, f.name)
		if err != nil {
			return request.Errors{{Path: "model." + string(f.kind), Message: err.Error(), File: true}}
		}
		*f.to = path
	}
	run.Model = table
	for i := range run.Jobs {
		job := &run.Jobs[i]
		for k := range job.LoRAs {
			if a := &job.LoRAs[k]; a.Path == "" {
				path, err := c.path(LoRA, a.Name)
				if err != nil {
					return request.Errors{{Path: run.Path(i, fmt.Sprintf("lora[%d].name", k)), Message: err.Error(), File: true}}
				}
				a.Path = path
			}
		}
		for k := range job.ControlNets {
			if n := &job.ControlNets[k]; n.Model != "" {
				if path, err := c.path(Net, n.Model); err == nil { // else it is the defaults' own
					n.Model = path
				}
			}
		}
	}
	c.resolveIPAdapters(run)
	c.resolveDetectors(run)
	return Inputs(run, func(at string, p *request.Picture) (err error) {
		if id, ok := strings.CutPrefix(p.Path, UploadScheme); ok {
			p.Path = ""
			if p.Data, err = fetch(id); err != nil {
				return request.Errors{{Path: at, Message: err.Error(), File: true}}
			}
		}
		return nil
	}, func(at string, a *request.Array) error {
		id, ok := strings.CutPrefix(a.Path, UploadScheme)
		if !ok {
			return nil
		}
		data, err := fetch(id)
		if err == nil {
			var read npy.Array
			if read, err = npy.Read(bytes.NewReader(data)); err == nil {
				*a = request.Array{Shape: read.Shape, Data: read.Data}
			}
		}
		if err != nil {
			return request.Errors{{Path: at, Message: err.Error(), File: true}}
		}
		return nil
	})
}

// resolveIPAdapters finds the files of IP-Adapters and of their image encoders. What is not here is the defaults' own.
func (c *Catalog) resolveIPAdapters(run *request.Run) {
	for i := range run.Jobs {
		list := slices.Clone(run.Jobs[i].IPAdapters)
		for k := range list {
			for _, name := range []*string{&list[k].Model, &list[k].ImageEncoder} {
				if *name == "" {
					continue
				}
				if path, err := c.path(IPAdapter, *name); err == nil {
					*name = path
				}
			}
		}
		run.Jobs[i].IPAdapters = list
	}
}

// resolveDetectors finds the files of detectors. What is not here is the defaults' own.
func (c *Catalog) resolveDetectors(run *request.Run) {
	for i := range run.Jobs {
		list := slices.Clone(run.Jobs[i].Details)
		for k := range list {
			if name := &list[k].Detector; *name != "" {
				if path, err := c.path(Detector, *name); err == nil {
					*name = path
				}
			}
		}
		run.Jobs[i].Details = list
	}
}
