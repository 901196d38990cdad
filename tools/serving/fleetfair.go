//go:build unix

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// The owners of the runs, and their tokens.
const (
	manyToken = "token-of-the-one-with-many-runs"
	fewToken  = "token-of-the-one-with-few-runs"
)

// The runs of the second owner, those that are cancelled, and how long a cancelled one may take until its worker has given it up.
const (
	fewRuns    = 10
	cancelRuns = 10
	mostCancel = time.Second
)

// mostBefore is for how many pictures of the other owner the second one may wait: those of the batch that is being computed.
const mostBefore = 16

// bearer is the header of the first owner, where the fleet has tokens.
func bearer(o options) []string {
	if o.tokens == "" {
		return nil
	}
	return authorized(manyToken)
}

func authorized(token string) []string { return []string{"Authorization", "Bearer " + token} }

// fleetFair measures how long one owner with few runs waits while another one has very many, and how fast cancelling reaches workers.
func fleetFair(ctx context.Context, o options) error {
	ctx, cancel := context.WithTimeout(ctx, faultTime)
	defer cancel()
	o.tokens = filepath.Join(o.dir, "tokens.toml")
	text := fmt.Sprintf("[[token]]\nname = \"many\"\ntoken = %q\n[[token]]\nname = \"few\"\ntoken = %q\n", manyToken, fewToken)
	if err := os.WriteFile(o.tokens, []byte(text), 0o600); err != nil {
		return err
	}
	f, err := startFleet(ctx, o)
	if err != nil {
		return err
	}
	defer f.stop()
	if err := f.shares(ctx, o); err != nil {
		return err
	}
	return f.cancels(ctx)
}

// timed is a run with its times.
type timed struct {
	answered
	Created, Started, Ended time.Time
}

// submit submits a run to an API node.
func (f *fleet) submit(ctx context.Context, i int, token string, request map[string]any) (r timed, err error) {
	status, data, err := persist(ctx, "POST", f.urls[i%len(f.urls)]+"/v1/runs", request, authorized(token)...)
	if err != nil || status != 202 {
		return r, fmt.Errorf("submitting: %d %s %v", status, data, err)
	}
	return r, json.Unmarshal(data, &r)
}

// until looks at a run until it is as wanted.
func (f *fleet) until(ctx context.Context, i int, token, id string, ok func(r timed) bool) (r timed, err error) {
	for {
		status, data, err := persist(ctx, "GET", f.urls[i%len(f.urls)]+"/v1/runs/"+id, nil, authorized(token)...)
		if err != nil || status != 200 {
			return r, fmt.Errorf("looking: %d %s %v", status, data, err)
		}
		r = timed{}
		if err := json.Unmarshal(data, &r); err != nil || ok(r) {
			return r, err
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// shares has one owner submit many runs, and the other one few, one after the other, while those are made.
func (f *fleet) shares(ctx context.Context, o options) error {
	ids := make([]string, o.runs)
	for i := range ids {
		r, err := f.submit(ctx, i, manyToken, map[string]any{"prompt": "a red circle", "seed": i})
		if err != nil {
			return err
		}
		ids[i] = r.ID
	}
	if _, err := f.until(ctx, 0, manyToken, ids[o.runs/20], func(r timed) bool { return r.State == "done" }); err != nil {
		return err
	}
	var few []timed
	for i := range fewRuns {
		r, err := f.submit(ctx, i, fewToken, map[string]any{"prompt": "a blue circle", "seed": i})
		if err == nil {
			r, err = f.until(ctx, i, fewToken, r.ID, func(r timed) bool { return !r.Ended.IsZero() })
		}
		if err != nil || r.State != "done" {
			return fmt.Errorf("a run of the second owner is %s: %v", r.State, err)
		}
		few = append(few, r)
	}
	left, err := f.left(ctx)
	if err != nil {
		return err
	}
	if left == 0 {
		return fmt.Errorf("the first owner had nothing left when the second one was served: submit more with -runs")
	}
	var pictures []int
	var waits, took []time.Duration
	for _, r := range few {
		begun, n, err := f.before(r)
		if err != nil {
			return err
		}
		pictures, waits, took = append(pictures, n), append(waits, begun.Sub(r.Created)), append(took, r.Ended.Sub(r.Created))
	}
	slices.Sort(pictures)
	slices.Sort(waits)
	slices.Sort(took)
	const middle, last = fewRuns / 2, fewRuns - 1
	fmt.Printf("one owner has %d runs, %d of them left at the end; of the other one's %d runs each waited until its worker had made %d "+
		"pictures in the middle and %d at most: %.2f s and %.2f s; until its end it took %.2f s and %.2f s\n", o.runs, left, fewRuns,
		pictures[middle], pictures[last], waits[middle].Seconds(), waits[last].Seconds(), took[middle].Seconds(), took[last].Seconds())
	if pictures[last] > mostBefore {
		return fmt.Errorf("it may be %d pictures", mostBefore)
	}
	// What is left is given up, so that the next runs begin at once.
	for i, id := range ids {
		_, _, err := persist(ctx, "POST", f.urls[i%len(f.urls)]+"/v1/runs/"+id+"/cancel", nil, authorized(manyToken)...)
		if err != nil {
			return err
		}
	}
	return nil
}

// left counts the runs of the first owner that have not ended.
func (f *fleet) left(ctx context.Context) (int, error) {
	status, data, err := persist(ctx, "GET", f.urls[0]+"/v1/runs?state=queued,running&limit=1000", nil, authorized(manyToken)...)
	if err != nil || status != 200 {
		return 0, fmt.Errorf("listing: %d %s %v", status, data, err)
	}
	return strings.Count(string(data), `"id"`), nil
}

// logged is a line of a worker's log.
type logged struct {
	Time   time.Time
	Msg    string
	Run    string
	Images int
}

// before tells when a worker has begun to compute a run, and how many pictures it had finished since the run was submitted.
func (f *fleet) before(r timed) (begun time.Time, pictures int, err error) {
	for _, w := range f.workers {
		text, err := logs([]*process{w})
		if err != nil {
			return begun, 0, err
		}
		n := 0
		for line := range strings.Lines(text) {
			var l logged
			if json.Unmarshal([]byte(line), &l) != nil {
				continue
			}
			switch {
			case l.Msg == "begun" && l.Run == r.ID:
				return l.Time, n, nil
			case l.Msg == "run ended" && l.Time.After(r.Created):
				n += l.Images
			}
		}
	}
	return begun, 0, fmt.Errorf("no worker tells that it has begun with the run %s", r.ID)
}

// cancels has long runs begun and gives them up through the other API node.
func (f *fleet) cancels(ctx context.Context) error {
	var took []time.Duration
	for i := range cancelRuns {
		r, err := f.submit(ctx, i, manyToken, map[string]any{"prompt": "a red circle", "num_images": 4, "num_inference_steps": 1000})
		if err == nil {
			_, err = f.until(ctx, i, manyToken, r.ID, func(r timed) bool { return r.State == "running" })
		}
		if err != nil {
			return err
		}
		time.Sleep(300 * time.Millisecond) // it computes
		began := time.Now()
		status, data, err := persist(ctx, "POST", f.urls[(i+1)%len(f.urls)]+"/v1/runs/"+r.ID+"/cancel", nil, authorized(manyToken)...)
		if err != nil || status >= 300 {
			return fmt.Errorf("cancelling: %d %s %v", status, data, err)
		}
		if r, err = f.until(ctx, i, manyToken, r.ID, func(r timed) bool { return !r.Ended.IsZero() }); err != nil {
			return err
		}
		if r.State != "cancelled" {
			return fmt.Errorf("a run that was cancelled is %s", r.State)
		}
		took = append(took, time.Since(began))
		if text, err := logs(f.workers); err != nil || !strings.Contains(text, r.ID) {
			return fmt.Errorf("no worker had the run %s: %v", r.ID, err)
		}
	}
	slices.Sort(took)
	fmt.Printf("%d runs in work were cancelled: their workers had given them up, and both API nodes knew it, after %.0f ms in the middle and "+
		"%.0f ms at most\n", cancelRuns, 1000*took[cancelRuns/2].Seconds(), 1000*took[cancelRuns-1].Seconds())
	if most := took[cancelRuns-1]; most > mostCancel {
		return fmt.Errorf("it may be %s", mostCancel)
	}
	return nil
}
