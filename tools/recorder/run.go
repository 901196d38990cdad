package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// table is a table of a run file.
type table = map[string]any

// job is one job of a run.
type job struct {
	label string // in the recording
	table table
}

// change is a change of an adapter while a run goes on.
type change struct {
	adapter string
	step    int   // after which it is made; 0: before the first
	values  table // as a worker's message of type lora has them
}

// run is one run: a model and jobs, given to each of its faces.
type run struct {
	name     string
	model    table
	jobs     []job
	faces    []string // nil: all
	previews int      // every so many steps; 0: none
	live     *change

	dir      string // its own folder
	plan     plan
	outcomes map[string]*outcome // by face
}

// picture is what one picture is recorded as.
type picture struct {
	job           string // label
	index         int
	Width         int    `json:"width"`
	Height        int    `json:"height"`
	Seed          int64  `json:"seed"`
	Pixels        string `json:"pixels"`
	Latents       string `json:"latents,omitempty"`
	indeterminate bool   // it depends on time: a change came in the middle of it
}

// outcome is what came out of one face.
type outcome struct {
	pictures  []picture
	batches   map[string][]int // sizes by label, or by "" for all jobs together
	manifests map[string]json.RawMessage
	warnings  []string
	previews  map[string]string // hashes by job, picture and step
	memory    string            // the decision, where it is told
	peak      int64             // most resident bytes; 0: not known
	err       error
}

func newOutcome() *outcome {
	return &outcome{batches: map[string][]int{}, manifests: map[string]json.RawMessage{}, previews: map[string]string{}}
}

// wants reports whether the run goes through a face.
func (r *run) wants(face string) bool { return r.faces == nil || slices.Contains(r.faces, face) }

// file is the run as a run file for a face. Pictures and latents go to a folder of that face.
func (r *run) file(face string) table {
	var jobs []any
	for i, j := range r.jobs {
		t := table{}
		for k, v := range j.table {
			t[k] = v
		}
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
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return "", err
	}
	data, err := json.Marshal(r.file(face))
	if err != nil {
		return "", err
	}
	return path, os.WriteFile(path, data, 0o600)
}

// addLatents adds the hashes of the latents that a face has saved.
func (r *run) addLatents(face string, o *outcome) error {
	for i, j := range r.jobs {
		parts, err := latentHashes(r.latentsFile(face, i))
		if err != nil {
			return err
		}
		for k := range o.pictures {
			if p := &o.pictures[k]; p.job == j.label && p.index < len(parts) {
				p.Latents = parts[p.index]
			}
		}
	}
	return nil
}

// addEntries adds all that is recorded of a run.
func (r *run) addEntries(to entries, dir string) error {
	if r.plan.Error != "" {
		if err := to.add(strings.ReplaceAll(r.plan.Error, dir, "DIR"), r.name, "plan", "error"); err != nil {
			return err
		}
	}
	for i, j := range r.plan.jobs(len(r.jobs)) {
		if err := to.add(j, r.name, "plan", r.jobs[i].label); err != nil {
			return err
		}
	}
	for face, o := range r.outcomes {
		if o.err != nil {
			if err := to.add(strings.ReplaceAll(o.err.Error(), dir, "DIR"), r.name, face, "error"); err != nil {
				return err
			}
		}
		if err := o.addEntries(to, r.name, face, dir); err != nil {
			return err
		}
	}
	return nil
}

func (o *outcome) addEntries(to entries, name, face, dir string) error {
	type item struct {
		value any
		keys  []string
	}
	var items []item
	for _, p := range o.pictures {
		if !p.indeterminate {
			items = append(items, item{p, []string{p.job, fmt.Sprintf("picture-%d", p.index)}})
		}
	}
	for label, sizes := range o.batches {
		items = append(items, item{sizes, []string{label, "batches"}})
	}
	for label, m := range o.manifests {
		items = append(items, item{m, []string{label, "manifest"}})
	}
	for key, hash := range o.previews {
		items = append(items, item{hash, []string{key}})
	}
	if len(o.warnings) > 0 {
		var lines []string
		for _, w := range o.warnings {
			lines = append(lines, strings.ReplaceAll(w, dir, "DIR"))
		}
		slices.Sort(lines)
		items = append(items, item{lines, []string{"warnings"}})
	}
	if o.memory != "" {
		items = append(items, item{o.memory, []string{"memory"}})
	}
	for _, it := range items {
		if err := to.add(it.value, append([]string{name, face}, it.keys...)...); err != nil {
			return err
		}
	}
	return nil
}
