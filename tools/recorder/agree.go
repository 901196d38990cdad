package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"os"
	"slices"
	"text/tabwriter"
)

// printOutcome prints failures, faces whose pictures or manifests do not agree, and plans that generate did not keep to. It returns how
// many runs failed and how many pictures differ between faces.
func printOutcome(runs []*run) (failed int) {
	var failures, differences, manifests []string
	for _, r := range runs {
		for _, face := range faces {
			if o := r.outcomes[face]; o != nil && o.err != nil {
				failures = append(failures, fmt.Sprintf("%s/%s: %v", r.name, face, o.err))
			}
		}
		differences = append(differences, r.differences()...)
		manifests = append(manifests, r.manifestDifferences()...)
	}
	printList("failures", failures)
	printList("faces that do not agree", differences)
	printList("manifests that do not agree", manifests)
	printPlans(runs)
	return len(failures) + len(differences)
}

func printList(title string, lines []string) {
	fmt.Printf("%s: %d\n", title, len(lines))
	for _, l := range lines {
		fmt.Println("  " + l)
	}
}

// differences lists what two faces made differently.
func (r *run) differences() (out []string) {
	for i, face := range faces {
		o := r.outcomes[face]
		if o == nil || o.err != nil || face == "plan" {
			continue
		}
		for _, key := range slices.Sorted(maps.Keys(o.found)) {
			before, ok := r.outcomes[faces[i-1]]
			if p, isPicture := o.found[key].(picture); isPicture && ok && before.found[key] != nil && before.found[key] != p {
				out = append(out, fmt.Sprintf("%s/%s: %s %+v, %s %+v", r.name, key, faces[i-1], before.found[key], face, p))
			}
		}
		if n, want := o.pictures, r.images(); n != want {
			out = append(out, fmt.Sprintf("%s/%s: %d pictures instead of %d", r.name, face, n, want))
		}
	}
	return out
}

// manifestDifferences lists the fields of manifests in which two faces differ that should not.
func (r *run) manifestDifferences() (out []string) {
	for _, pair := range [][2]string{{"cli", "worker"}, {"generate", "batcher"}} {
		a, b := r.outcomes[pair[0]], r.outcomes[pair[1]]
		if a == nil || b == nil || a.err != nil || b.err != nil {
			continue
		}
		for _, j := range r.jobs {
			x, y := a.manifest(j.label), b.manifest(j.label)
			if x == nil || y == nil {
				out = append(out, fmt.Sprintf("%s/%s: no manifest", r.name, j.label))
			}
			for _, field := range differing(x, y) {
				out = append(out, fmt.Sprintf("%s/%s: %s: %s %s, %s %s", r.name, j.label, field, pair[0], x[field], pair[1], y[field]))
			}
		}
	}
	return out
}

// manifest is a job's manifest by its fields; nil where there is none.
func (o *outcome) manifest(label string) (fields entries) {
	text, _ := o.found[label+"/manifest"].(json.RawMessage)
	_ = json.Unmarshal(text, &fields)
	return fields
}

// images is how many pictures the run's jobs ask for.
func (r *run) images() (n int) {
	for _, j := range r.jobs {
		images, _ := j.table["num_images"].(int64)
		n += int(max(images, 1))
	}
	return n
}

// printPlans prints a table of what plan says otherwise than generate did: sizes, numbers of pictures and largest batches.
func printPlans(runs []*run) {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Println("plans that differ from what was made:")
	fmt.Fprintln(w, "  RUN\tPLANNED SIZE\tMADE\tIMAGES\tMADE\tBATCH\tMADE")
	for _, r := range runs {
		for _, j := range r.jobs {
			planned, ok := r.outcomes["plan"].found[j.label].(plannedJob)
			made := r.made(j.label)
			if !ok {
				fmt.Fprintf(w, "  %s/%s\tno plan: %v\n", r.name, j.label, r.outcomes["plan"].err)
			} else if p := planned; p.Width != made.Width || p.Height != made.Height || p.Images != made.Images || p.Batch != made.Batch &&
				made.Batch > 0 {
				fmt.Fprintf(w, "  %s/%s\t%dx%d\t%dx%d\t%d\t%d\t%d\t%d\n", r.name, j.label, p.Width, p.Height, made.Width, made.Height,
					p.Images, made.Images, p.Batch, made.Batch)
			}
		}
	}
	_ = w.Flush()
}

// made is what Generate made of a job, or the command line where it alone was asked.
func (r *run) made(label string) (m plannedJob) {
	o := r.outcomes["generate"]
	if o == nil {
		o = r.outcomes["cli"]
	}
	if o == nil {
		return m
	}
	for _, value := range o.found {
		if p, ok := value.(picture); ok && p.job == label {
			m.Width, m.Height, m.Images = p.Width, p.Height, m.Images+1
		}
	}
	sizes, _ := o.found[label+"/batches"].([]int)
	together, _ := o.found["batches"].([]int)
	for _, n := range append(sizes, together...) {
		m.Batch = max(m.Batch, n)
	}
	return m
}

// defaultPeakError is by how many percent a planned peak may be off without a mark.
const defaultPeakError = 5

// peakError is by how many percent of what was measured a planned peak is off.
func peakError(planned, measured int64) float64 {
	return 100 * (float64(planned)/float64(measured) - 1)
}

// printPeaks prints each run's planned peak beside the measured one, and marks those that are off by more than a limit in percent. It
// returns how many are.
func printPeaks(runs []*run, limit float64) (off int) {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Println("peaks of the command line's runs:")
	fmt.Fprintf(w, "  RUN\tPLANNED MiB\tMEASURED MiB\tERROR MiB\tERROR\tOVER %g %%\n", limit)
	largest, n := 0.0, 0
	for _, r := range runs {
		o := r.outcomes["cli"]
		planned, _ := r.plan.HostPeak()
		if o == nil || o.peak == 0 || planned == 0 {
			continue
		}
		n++
		mark, wrong := "", peakError(planned, o.peak)
		largest = max(largest, math.Abs(wrong))
		if math.Abs(wrong) > limit {
			off, mark = off+1, "*"
		}
		mib := func(bytes int64) float64 { return float64(bytes) / (1 << 20) }
		fmt.Fprintf(w, "  %s\t%.1f\t%.1f\t%+.1f\t%+.1f %%\t%s\n", r.name, mib(planned), mib(o.peak), mib(planned-o.peak), wrong, mark)
	}
	_ = w.Flush()
	fmt.Printf("peaks off by more than %g %%: %d of %d, the largest by %.1f %%\n", limit, off, n, largest)
	return off
}
