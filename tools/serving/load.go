//go:build unix

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"sync"
	"time"
)

// times are how long calls took, by kind.
type times struct {
	mu       sync.Mutex
	by       map[string][]time.Duration
	statuses map[int]int
	errs     []error
}

// note notes a call. What is not as it should be is an error.
func (t *times) note(kind string, began time.Time, status int, h http.Header, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err != nil {
		t.errs = append(t.errs, fmt.Errorf("%s: %w", kind, err))
		return
	}
	t.by[kind] = append(t.by[kind], time.Since(began))
	t.statuses[status]++
	if status >= 400 && (status != http.StatusTooManyRequests || h.Get("Retry-After") == "") {
		t.errs = append(t.errs, fmt.Errorf("%s: status %d", kind, status))
	}
}

// quantile is a quantile of a kind's times.
func (t *times) quantile(kind string, q float64) time.Duration {
	list := slices.Clone(t.by[kind])
	if len(list) == 0 {
		return 0
	}
	slices.Sort(list)
	return list[min(int(q*float64(len(list))), len(list)-1)]
}

// The limits of the load test.
const (
	worstCall  = 50 * time.Millisecond // 99 of 100 calls that compute nothing
	worstFirst = 2 * worstCall         // the first calls of all clients, which come in the same instant
	worstGrown = 1.15                  // memory at the end against after a fifth of the time
	leastRate  = 500                   // runs accepted a second
)

// load has many clients use a server that has loaded its model: each submits small runs, looks at them, and fetches their pictures.
func load(ctx context.Context, o options) error {
	s, err := start(ctx, o, anyAddress)
	if err != nil {
		return err
	}
	defer s.kill()
	if _, err := one(ctx, s.url, "first", map[string]any{"prompt": "a red circle", "num_images": 1}); err != nil {
		return err // the model is loaded now
	}
	all := &times{by: map[string][]time.Duration{}, statuses: map[int]int{}}
	length := time.Duration(o.minutes * float64(time.Minute))
	working, stop := context.WithTimeout(ctx, length)
	defer stop()
	var clients sync.WaitGroup
	pictures := make([]int, o.clients)
	for i := range o.clients {
		clients.Go(func() { pictures[i] = use(ctx, working, s.url, i, all) })
	}
	var early int64
	for began := time.Now(); working.Err() == nil; {
		select {
		case <-time.After(length / 20):
		case <-working.Done():
			continue
		}
		if early == 0 && time.Since(began) >= length/5 {
			early = s.rss()
		}
		fmt.Printf("%4.0f s: %d MiB\n", time.Since(began).Seconds(), s.rss()>>20)
	}
	late := s.rss()
	clients.Wait()
	sum := 0
	for _, n := range pictures {
		sum += n
	}
	fmt.Printf("%d clients, %.1f minutes: %d pictures were fetched; memory %d MiB after a fifth, %d MiB at the end\n",
		o.clients, o.minutes, sum,
		early>>20, late>>20)
	bad := all.tell()
	if float64(late) > worstGrown*float64(early) {
		bad = append(bad, fmt.Errorf("memory has grown from %d to %d MiB", early>>20, late>>20))
	}
	if len(bad) > 0 {
		return bad[0]
	}
	fmt.Println("ok")
	return nil
}

// tell prints the times and returns what is too slow or wrong.
func (t *times) tell() (bad []error) {
	for _, kind := range []string{"first", "submit", "get", "list", "models", "picture"} {
		p50, p99, worst := t.quantile(kind, 0.5), t.quantile(kind, 0.99), worstCall
		if kind == "first" {
			worst = worstFirst
		}
		fmt.Printf("%-8s %7d calls, median %6.1f ms, p99 %6.1f ms, longest %6.1f ms\n", kind, len(t.by[kind]), ms(p50), ms(p99),
			ms(t.quantile(kind, 1)))
		if p99 > worst {
			bad = append(bad, fmt.Errorf("%s: p99 is %.1f ms; it may be %.0f", kind, ms(p99), ms(worst)))
		}
	}
	fmt.Println("statuses:", t.statuses)
	for _, err := range t.errs[:min(len(t.errs), 5)] {
		fmt.Println("error:", err)
	}
	return append(slices.Clone(t.errs), bad...)
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// use is one client. It returns how many pictures it has fetched.
func use(ctx, working context.Context, url string, i int, all *times) (fetched int) {
	for n := 0; working.Err() == nil; n++ {
		began := time.Now()
		status, data, h, err := call(ctx, "POST", url+"/v1/runs", map[string]any{"prompt": "a red circle", "seed": 1000*i + n,
			"num_images": 1 + n%2, "num_inference_steps": 4})
		kind := "submit"
		if n == 0 {
			kind = "first"
		}
		all.note(kind, began, status, h, err)
		var run answered
		if err != nil || status != 202 || json.Unmarshal(data, &run) != nil {
			time.Sleep(time.Second)
			continue
		}
		for run.State == "queued" || run.State == "running" {
			time.Sleep(300*time.Millisecond + rand.N(200*time.Millisecond)) // clients do not keep time with each other
			began := time.Now()
			status, data, h, err := call(ctx, "GET", url+"/v1/runs/"+run.ID, nil)
			all.note("get", began, status, h, err)
			if run = (answered{}); json.Unmarshal(data, &run) != nil {
				break
			}
			if i%10 == 0 {
				began = time.Now()
				status, _, h, err = call(ctx, "GET", url+"/v1/runs?limit=20", nil)
				all.note("list", began, status, h, err)
				began = time.Now()
				status, _, h, err = call(ctx, "GET", url+"/v1/catalog/models", nil)
				all.note("models", began, status, h, err)
			}
		}
		for _, p := range run.Pictures {
			began := time.Now()
			status, data, h, err := call(ctx, "GET", url+p.URL, nil)
			all.note("picture", began, status, h, err)
			if err == nil && status == 200 && len(data) > 0 {
				fetched++
			}
		}
	}
	return fetched
}

// accept submits runs as fast as the server accepts them. Each is synced to the disk before its answer.
func accept(ctx context.Context, o options) error {
	s, err := start(ctx, o, anyAddress)
	if err != nil {
		return err
	}
	defer s.kill()
	all := &times{by: map[string][]time.Duration{}, statuses: map[int]int{}}
	next := make(chan int)
	var clients sync.WaitGroup
	began := time.Now()
	for range o.clients {
		clients.Go(func() {
			for i := range next {
				began := time.Now()
				status, _, h, err := call(ctx, "POST", s.url+"/v1/runs?priority=-5", map[string]any{"prompt": "a red circle", "seed": i})
				all.note("submit", began, status, h, err)
			}
		})
	}
	for i := range o.runs {
		next <- i
	}
	close(next)
	clients.Wait()
	rate := float64(o.runs) / time.Since(began).Seconds()
	fmt.Printf("%d runs accepted, %.0f a second, by %d clients; median %.1f ms, p99 %.1f ms; %d MiB\n", len(all.by["submit"]), rate, o.clients,
		ms(all.quantile("submit", 0.5)), ms(all.quantile("submit", 0.99)), s.rss()>>20)
	if len(all.errs) > 0 || len(all.by["submit"]) != o.runs || rate < leastRate {
		return fmt.Errorf("%d errors, %.0f a second; it should be %d and no error: %v", len(all.errs), rate, leastRate,
			all.errs[:min(1, len(all.errs))])
	}
	_, _ = fmt.Fprintln(os.Stdout, "ok")
	return nil
}
