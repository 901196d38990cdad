//go:build unix

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// mostComputed is how often a picture may be computed on average.
const mostComputed = 1.15

// mostPause is the longest time between two kills. On a slow machine a shorter one would kill the workers in nearly every batch.
const mostPause = 2 * time.Minute

// fleetFaults submits runs to a fleet whose processes are killed, stopped and cut off, and compares its pictures with those that one
// undisturbed server makes.
func fleetFaults(ctx context.Context, o options) error {
	ctx, cancel := context.WithTimeout(ctx, faultTime)
	defer cancel()
	r := rand.New(rand.NewPCG(o.seed, 0))
	requests, images := faultRuns(o.runs, r)
	calm := o
	calm.dir, calm.args = filepath.Join(o.dir, "calm"), ""
	fmt.Printf("%d runs with %d pictures; one undisturbed server first\n", o.runs, images)
	want, err := disturb(ctx, calm, requests, 0, r)
	if err != nil {
		return err
	}
	o.dir = filepath.Join(o.dir, "fleet")
	if err := os.MkdirAll(o.dir, 0o700); err != nil {
		return err
	}
	o.args = "--attempts 8" // kills are so frequent that one run may be hit several times
	f, err := startFleet(ctx, o)
	if err != nil {
		return err
	}
	defer f.stop()
	fmt.Println("the fleet is ready")
	began := time.Now()
	left := &atomic.Int64{}
	left.Store(int64(len(requests)))
	killed := make(chan map[string]int, 1)
	go func() { killed <- f.disturb(ctx, left, o.kills, r) }()
	got, err := f.everything(ctx, requests, left)
	took := time.Since(began)
	n := <-killed
	if err != nil {
		return err
	}
	if err := equal(want, got, images); err != nil {
		return err
	}
	computed, begun, err := f.computed(images)
	if err != nil {
		return err
	}
	each := func(n int64) float64 { return float64(n) / float64(images) }
	fmt.Printf("ok: killed %v in %.0f s; all %d pictures are there once and equal; on average each was begun with %.3f times, computed %.3f "+
		"times by its steps, and stored %.3f times; %.1f requests and %.0f bytes to the store for each\n", n, took.Seconds(), images, begun,
		computed, each(f.bucket.puts.Load()), each(f.bucket.all.Load()), each(f.bucket.bytes.Load()))
	if computed > mostComputed {
		return fmt.Errorf("it may be %.2f times", mostComputed)
	}
	return nil
}

// everything makes all runs and returns their pictures.
func (f *fleet) everything(ctx context.Context, requests []map[string]any, left *atomic.Int64) (map[string][]byte, error) {
	var mu sync.Mutex
	var clients sync.WaitGroup
	var failure error
	got := map[string][]byte{}
	for i, request := range requests {
		clients.Go(func() {
			pictures, err := f.one(ctx, i, request)
			left.Add(-1)
			mu.Lock()
			defer mu.Unlock()
			if err != nil && failure == nil {
				failure = fmt.Errorf("run %d: %w", i, err)
			}
			for key, data := range pictures {
				got[fmt.Sprintf("run %d picture %s", i, key)] = data
			}
		})
	}
	clients.Wait()
	return got, failure
}

// one is the function one with whichever API node answers.
func (f *fleet) one(ctx context.Context, i int, request map[string]any) (map[string][]byte, error) {
	at := i
	for {
		pictures, err := one(ctx, f.urls[at%len(f.urls)], fmt.Sprint("fault-", i), request)
		if err == nil || ctx.Err() != nil {
			return pictures, err
		}
		var run answered
		status, data, e := persist(ctx, "POST", f.urls[(at+1)%len(f.urls)]+"/v1/runs", request, "Idempotency-Key", fmt.Sprint("fault-", i))
		if e != nil || status != 202 || json.Unmarshal(data, &run) != nil || run.State == "failed" || run.State == "cancelled" {
			return nil, err
		}
		at++
	}
}

// disturb kills so many processes, and lets other things go wrong meanwhile. What it does is spread over the runs, not over time: how fast
// they are made depends on what else the machine does. It returns how often which kind of process was killed.
func (f *fleet) disturb(ctx context.Context, left *atomic.Int64, kills int, r *rand.Rand) (killed map[string]int) {
	all := float64(left.Load())
	var others sync.WaitGroup
	wait := func(d time.Duration) {
		select {
		case <-time.After(d):
		case <-ctx.Done():
		}
	}
	// until waits until a part of the runs has ended, at most for a while: nothing ends where everything waits.
	until := func(part float64, most time.Duration) {
		for end := time.Now().Add(most); float64(left.Load()) > all*(1-part) && time.Now().Before(end) && ctx.Err() == nil; {
			wait(20 * time.Millisecond)
		}
	}
	during := func(name string, part float64, d time.Duration, begin, end func()) {
		others.Go(func() {
			until(part, faultTime)
			fmt.Printf("with %.0f %% of the runs, %s for %s\n", 100*(1-float64(left.Load())/all), name, d)
			begin()
			wait(d)
			end()
		})
	}
	stopped := f.workers[0]
	during("worker0 stands still", 0.05, time.Minute, func() { stopped.signal(syscall.SIGSTOP) },
		func() { stopped.signal(syscall.SIGCONT) })
	during("the store fails", 0.3, 30*time.Second, func() { f.bucket.fails.Store(true) }, func() { f.bucket.fails.Store(false) })
	during("the link of the last worker is cut", 0.5, 20*time.Second, func() { f.cut(true) }, func() { f.cut(false) })
	killed = map[string]int{}
	for n := range kills {
		until((float64(n)+r.Float64())/float64(kills+1), mostPause)
		wait(time.Duration(float64(time.Second) * r.Float64()))
		if ctx.Err() != nil {
			break
		}
		kind, i := f.kill(ctx, n, r)
		killed[kind]++
		fmt.Printf("kill %d: %s%d; %d runs are left\n", n+1, kind, i, left.Load())
	}
	others.Wait()
	return killed
}

// kill kills a process and starts it again: each fourth time a NATS server, and the next kill waits until that has caught up.
func (f *fleet) kill(ctx context.Context, n int, r *rand.Rand) (kind string, i int) {
	kind, list := []string{"worker", "api", "worker", "nats"}[n%4], f.workers[1:]
	switch kind {
	case "api":
		list = f.apis
	case "nats":
		list = f.nats
	}
	i = r.IntN(len(list))
	p := list[i]
	p.kill()
	select {
	case <-time.After(time.Duration(float64(2*time.Second) * r.Float64())):
	case <-ctx.Done():
	}
	if err := p.start(); err != nil {
		fmt.Println(err)
	}
	switch kind {
	case "nats":
		f.healthy(ctx, i)
	case "worker":
		i++
	}
	return kind, i
}

// begun is a part of a run that a worker has begun with, as its log tells.
type begun struct {
	images      int
	done, total int // steps of these pictures
}

// computed is how often each of so many pictures was computed on average, and how often it was begun with, as the logs of the workers say.
// Whoever is killed in between has computed a part only: the steps that its log tells of, and one more of each picture.
func (f *fleet) computed(images int) (computed, begun float64, err error) {
	text, err := logs(f.workers)
	if err != nil {
		return 0, 0, err
	}
	list := readSteps(text)
	for _, b := range list {
		begun += float64(b.images)
		part := 1.0
		if steps := b.done + b.images; steps < b.total {
			part = float64(steps) / float64(b.total)
		} else if b.total == 0 {
			part = 0 // it was killed before the first step
		}
		computed += part * float64(b.images)
	}
	return computed / float64(images), begun / float64(images), nil
}

// readSteps reads what the logs of workers tell of their steps, by run, claim and job.
func readSteps(text string) map[string]*begun {
	list := map[string]*begun{}
	for line := range strings.Lines(text) {
		var l struct {
			Msg, Run                        string
			Piece, Job, Images, Done, Total int
		}
		if json.Unmarshal([]byte(line), &l) != nil || l.Msg != "begun" && l.Msg != "step" {
			continue
		}
		key := fmt.Sprint(l.Run, " ", l.Piece, " ", l.Job)
		b := list[key]
		if b == nil {
			b = &begun{}
			list[key] = b
		}
		if l.Msg == "begun" {
			b.images += l.Images
		} else if l.Done >= b.done {
			b.done, b.total = l.Done, l.Total
		}
	}
	return list
}
