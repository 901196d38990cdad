//go:build unix

package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"
)

// faultTime is far more than the runs take, kills included.
const faultTime = time.Hour

// faultRun is the request of a run of one to eight pictures.
func faultRun(i int, r *rand.Rand) map[string]any {
	return map[string]any{"prompt": fmt.Sprintf("a %s %s", []string{"red", "blue", "green"}[i%3],
		[]string{"circle", "square", "triangle"}[i/3%3]),
		"seed": 1000 * i, "num_images": 1 + r.IntN(8), "num_inference_steps": 8 + r.IntN(8)}
}

// faultRuns makes n requests, and counts their pictures.
func faultRuns(n int, r *rand.Rand) (requests []map[string]any, images int) {
	for i := range n {
		requests = append(requests, faultRun(i, r))
		images += requests[i]["num_images"].(int)
	}
	return requests, images
}

// faults submits runs to a server that is killed again and again, and compares what it made with what an undisturbed one makes.
func faults(ctx context.Context, o options) error {
	ctx, cancel := context.WithTimeout(ctx, faultTime)
	defer cancel()
	r := rand.New(rand.NewPCG(o.seed, 0))
	requests, images := faultRuns(o.runs, r)
	fmt.Printf("%d runs with %d pictures; an undisturbed server first\n", o.runs, images)
	o.args += " --attempts 5" // kills are so frequent that one run may be hit three times
	calm := o
	calm.dir = filepath.Join(o.dir, "calm")
	began := time.Now()
	want, err := disturb(ctx, calm, requests, 0, r)
	if err != nil {
		return err
	}
	took := time.Since(began)
	fmt.Printf("undisturbed: %.0f s; now with %d kills\n", took.Seconds(), o.kills)
	wild := o
	wild.dir = filepath.Join(o.dir, "wild")
	began = time.Now()
	got, err := disturb(ctx, wild, requests, o.kills, r)
	if err != nil {
		return err
	}
	if err := equal(want, got, images); err != nil {
		return err
	}
	fmt.Printf("ok: after %d kills in %.0f s every run has an answer, and all %d pictures are there once and equal\n", o.kills,
		time.Since(began).Seconds(), images)
	return nil
}

// equal makes sure that all pictures that were asked for are there in both runs, and are the same.
func equal(want, got map[string][]byte, images int) error {
	for key, data := range want {
		if !bytes.Equal(got[key], data) {
			return differ(key, data, got[key])
		}
	}
	if len(got) != images || len(want) != images {
		return fmt.Errorf("%d pictures, but undisturbed %d, and %d were asked for", len(got), len(want), images)
	}
	return nil
}

// differ keeps two pictures that should be equal, so that one can look at them.
func differ(key string, calm, wild []byte) error {
	dir, err := os.MkdirTemp("", "daguerre-faults-")
	if err != nil {
		return err
	}
	for name, data := range map[string][]byte{"calm.png": calm, "wild.png": wild} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			return err
		}
	}
	return fmt.Errorf("%s is not as undisturbed; both are in %s", key, dir)
}

// disturb has a server make runs, and kills it so often. It returns the pictures.
func disturb(ctx context.Context, o options, requests []map[string]any, kills int, r *rand.Rand) (map[string][]byte, error) {
	if err := os.MkdirAll(o.dir, 0o700); err != nil {
		return nil, err
	}
	addr, err := freeAddress()
	if err != nil {
		return nil, err
	}
	s, err := start(ctx, o, addr)
	if err != nil {
		return nil, err
	}
	url := s.url
	pictures := map[string][]byte{}
	var mu sync.Mutex
	var left atomic.Int64
	left.Store(int64(len(requests)))
	var clients sync.WaitGroup
	var failure error
	for i, request := range requests {
		clients.Go(func() {
			got, err := one(ctx, url, fmt.Sprint("fault-", i), request)
			left.Add(-1)
			mu.Lock()
			defer mu.Unlock()
			if err != nil && failure == nil {
				failure = fmt.Errorf("run %d: %w", i, err)
			}
			for key, data := range got {
				pictures[fmt.Sprintf("run %d picture %s", i, key)] = data
			}
		})
	}
	for n := range kills {
		// Kills are spread over the runs, not over time: how fast they are made depends on what else the machine does.
		at := int64(float64(len(requests)) * (1 - (float64(n)+r.Float64())/float64(kills+1)))
		for left.Load() > at {
			time.Sleep(20 * time.Millisecond)
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
		}
		time.Sleep(time.Duration(r.Float64() * float64(time.Second)))
		if left.Load() == 0 {
			return nil, fmt.Errorf("the runs ended after %d kills; submit more with -runs", n)
		}
		s.kill()
		if s, err = start(ctx, o, addr); err != nil {
			return nil, err
		}
		fmt.Printf("kill %d: %d runs are left\n", n+1, left.Load())
	}
	clients.Wait()
	s.stop()
	return pictures, failure
}

// lookEvery is how often each of the clients looks whether its run has ended: there are hundreds, and looking must cost
// little beside computing.
const lookEvery = 2 * time.Second

// one submits a run, waits for its end, and fetches its pictures, over as many deaths of the server as there are.
func one(ctx context.Context, url, key string, request map[string]any) (pictures map[string][]byte, err error) {
	status, data, err := persist(ctx, "POST", url+"/v1/runs", request, "Idempotency-Key", key)
	if err != nil || status != 202 {
		return nil, fmt.Errorf("submitting: %d %s %v", status, data, err)
	}
	var run answered
	if err := json.Unmarshal(data, &run); err != nil {
		return nil, err
	}
	for run.State != "done" {
		time.Sleep(lookEvery)
		if status, data, err = persist(ctx, "GET", url+"/v1/runs/"+run.ID, nil); err != nil || status != 200 {
			return nil, fmt.Errorf("looking: %d %s %v", status, data, err)
		}
		run = answered{}
		if err := json.Unmarshal(data, &run); err != nil {
			return nil, err
		}
		if run.State == "failed" || run.State == "cancelled" {
			return nil, fmt.Errorf("it ended as %s: %s", run.State, data)
		}
	}
	if run.Made != request["num_images"] || run.Failed != 0 || len(run.Pictures) != run.Made {
		return nil, fmt.Errorf("%d pictures were made and %d failed of %d, and %d are listed", run.Made, run.Failed, request["num_images"],
			len(run.Pictures))
	}
	pictures = map[string][]byte{}
	for _, p := range run.Pictures {
		status, data, err := persist(ctx, "GET", url+p.URL, nil)
		if err != nil || status != 200 {
			return nil, fmt.Errorf("fetching: %d %v", status, err)
		}
		sum := sha256.Sum256(data)
		if hex.EncodeToString(sum[:]) != p.SHA256 {
			return nil, fmt.Errorf("picture %d is not what its sum says", p.Index)
		}
		pictures[fmt.Sprintf("%d/%d", p.Job, p.Index)] = data
	}
	return pictures, nil
}
