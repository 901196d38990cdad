//go:build unix

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"time"
)

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
	going, stop := context.WithCancel(ctx)
	defer stop()
	killed := make(chan int, 1)
	go func() { killed <- f.disturb(going, o.kills, r) }()
	var mu sync.Mutex
	var clients sync.WaitGroup
	var failure error
	got := map[string][]byte{}
	for i, request := range requests {
		clients.Go(func() {
			pictures, err := f.one(ctx, i, request)
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
	took := time.Since(began)
	stop()
	n := <-killed
	if failure != nil {
		return failure
	}
	if err := equal(want, got, images); err != nil {
		return err
	}
	fmt.Printf("ok: %d kills in %.0f s; all %d pictures are there once and equal; stored %.3f times on average; %.1f requests and %.0f bytes "+
		"to the store for each\n", n, took.Seconds(), images, float64(f.bucket.puts.Load())/float64(images),
		float64(f.bucket.all.Load())/float64(images), float64(f.bucket.bytes.Load())/float64(images))
	if n < o.kills {
		return fmt.Errorf("the runs ended after %d kills; submit more with -runs", n)
	}
	return nil
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
