package main

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"

	"github.com/daguerre-go/daguerre/runtime/scheduler"
	"github.com/daguerre-go/daguerre/tools/internal/tool"
)

// table is a table of a run file.
type table = map[string]any

// settings are the table [recorder] of a run's file: what a run file cannot say.
type settings struct {
	Jobs       []string // what the jobs are called in the recording; one job alone is called job
	Faces      []string // the ways to take; none: all
	Previews   int      // every so many steps; 0: none
	Live       *change
	Schedulers bool // the job is made once with each scheduler
}

// change is a change of an adapter while a run goes on.
type change struct {
	Adapter string
	Step    int   // after which it is made; 0: before the first
	Values  table // as a worker's message of type lora has them
}

// job is one job of a run.
type job struct {
	label string // in the recording
	table table
}

// run is one run: a model and jobs, given to each of its faces.
type run struct {
	settings
	name  string
	model table
	jobs  []job

	dir      string // its own folder
	plan     tool.Plan
	outcomes map[string]*outcome // by face
}

// readRuns reads the run files whose names match, in the order of order.txt: what a worker has done decides on its batches. The files that
// a run makes go to a folder of its own in dir.
func readRuns(folder string, only *regexp.Regexp, dir string) (runs []*run, err error) {
	order, err := os.ReadFile(filepath.Join(folder, "order.txt"))
	if err != nil {
		return nil, err
	}
	for name := range strings.FieldsSeq(string(order)) {
		if !only.MatchString(name) {
			continue
		}
		path := filepath.Join(folder, name+".toml")
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		r, err := readRun(strings.ReplaceAll(string(text), "INPUTS", filepath.Join(dir, "inputs")))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		r.name, r.dir = name, filepath.Join(dir, "runs", name)
		runs = append(runs, r)
	}
	return runs, nil
}

// readRun reads a run file. What stands above its tables is for all jobs.
func readRun(text string) (*run, error) {
	var file struct {
		Model    table
		Job      []table
		Recorder settings
	}
	var top table
	meta, err := toml.Decode(text, &file)
	if _, topErr := toml.Decode(text, &top); err != nil || topErr != nil {
		return nil, errors.Join(err, topErr)
	}
	for _, key := range meta.Undecoded() {
		if key[0] == "recorder" {
			return nil, fmt.Errorf("%s is unknown", key)
		}
	}
	maps.DeleteFunc(top, func(key string, _ any) bool { return key == "model" || key == "job" || key == "recorder" })
	jobs, labels := file.Job, file.Recorder.Jobs
	if len(labels) == 0 {
		labels = []string{"job"}
	}
	if len(jobs) == 0 {
		jobs = []table{{}}
	}
	if file.Recorder.Schedulers {
		labels, jobs = scheduler.Names(), nil
		for _, name := range labels {
			jobs = append(jobs, table{"scheduler": name})
		}
	}
	if len(jobs) != len(labels) {
		return nil, fmt.Errorf("%d jobs have %d names", len(jobs), len(labels))
	}
	r := &run{settings: file.Recorder, model: file.Model, outcomes: map[string]*outcome{}}
	for i, given := range jobs {
		t := maps.Clone(top)
		maps.Copy(t, given)
		r.jobs = append(r.jobs, job{labels[i], t})
	}
	return r, nil
}

// wants reports whether the run goes through a face.
func (r *run) wants(face string) bool {
	return face == "plan" || r.Faces == nil || slices.Contains(r.Faces, face)
}

// file is the run as a run file for a face. Pictures and latents go to a folder of that face.
func (r *run) file(face string) table {
	var jobs []any
	for i, j := range r.jobs {
		t := maps.Clone(j.table)
		t["output"] = filepath.Join(r.dir, face, fmt.Sprintf("%d-{index}.png", i))
		t["save_latents"] = r.latentsFile(face, i)
		jobs = append(jobs, t)
	}
	return table{"model": r.model, "jobs": jobs}
}

func (r *run) latentsFile(face string, job int) string {
	return filepath.Join(r.dir, face, fmt.Sprintf("%d.npy", job))
}

// writeFile writes the run file of a face and returns its name.
func (r *run) writeFile(face string) (string, error) {
	path := filepath.Join(r.dir, face, "run.json")
	return path, errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), tool.WriteJSON(path, r.file(face)))
}
