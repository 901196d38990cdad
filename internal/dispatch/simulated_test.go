package dispatch_test

import (
	"context"
	"flag"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/durable"
)

// The size of the simulated fleet. make fleet-simulated has a large one.
var (
	simWorkers  = flag.Int("sim.workers", 8, "workers of the simulated fleet")
	simPictures = flag.Int("sim.pictures", 600, "pictures that it makes")
	simFailures = flag.Int("sim.failures", 1, "workers that die; others take their places after half a minute")
	simLeast    = flag.Float64("sim.least", 0.5, "least part of the ideal throughput")
	simTurns    = flag.Bool("sim.turns", false, "tell which workers turn to other models, and when")
	simLoads    = flag.Float64("sim.loads", 2, "most loadings of models, of the least number that is possible")
)

// simAway is how long the place of a worker that has died is empty.
const simAway = 30 * time.Second

// mostWait is how long a run of few pictures may take while runs of others wait: the patience of workers with the wrong model, its loading,
// and two batches.
const mostWait = 4 * time.Minute

// TestSimulatedFleet has a fleet make many pictures of three models for large owners, while a small one asks for a few now and then, and
// while workers die. Nothing here depends on how fast this machine is: the time is that of the simulation.
func TestSimulatedFleet(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		s := simulate(ctx, t, dir)
		var ids []string
		n, work := 0, time.Duration(0)
		mix := []simModel{simModels[0], simModels[1], simModels[0], simModels[2], simModels[0], simModels[1], simModels[0], simModels[1],
			simModels[0], simModels[0]}
		for i := 0; n < *simPictures; i++ {
			m, images := mix[i%len(mix)], 1+(i*7)%simBatch
			ids = append(ids, s.submit(ctx, fmt.Sprint("large", i%3), m, images, i))
			n += images
			work += time.Duration(images) * m.best()
		}
		began := time.Now()
		var workers sync.WaitGroup
		deaths := make([]chan struct{}, *simFailures)
		for i := range *simWorkers {
			var dies chan struct{}
			if i < len(deaths) {
				deaths[i] = make(chan struct{})
				dies = deaths[i]
			}
			workers.Go(func() { s.worker(ctx, fmt.Sprint("w", i), dies) })
		}
		// Workers die in the first half.
		pause := work / time.Duration(2**simWorkers*(*simFailures+1))
		workers.Go(func() {
			for i, dies := range deaths {
				time.Sleep(pause)
				close(dies)
				workers.Go(func() {
					time.Sleep(simAway)
					s.worker(ctx, fmt.Sprint("replaced", i), nil)
				})
			}
		})
		waits := s.small(ctx, len(ids))
		made, took := 0, time.Duration(0)
		for _, id := range ids {
			r, err := s.api.Find(id)
			require.NoError(t, err)
			assert.Equal(t, durable.Done, r.State, id)
			made += r.Made
			took = max(took, r.Ended.Sub(began))
		}
		assert.Equal(t, n, made)
		lost, least, loads := time.Duration(*simFailures)*simAway, *simWorkers+*simFailures, 0
		for _, count := range s.loads {
			loads += count
		}
		loading := s.loading / time.Duration(loads) * time.Duration(least)
		ideal := (work + loading + lost) / time.Duration(*simWorkers)
		part := ideal.Seconds() / took.Seconds()
		cancel()
		workers.Wait()
		api := s.api.Traffic()
		s.api.Close()
		each := func(n uint64) float64 { return float64(n) / float64(made) }
		fmt.Printf("%d pictures by %d workers in %s: %.1f %% of the ideal %s; %d loadings %v, at least %d; a small owner waits %s at most, "+
			"%s in the middle\n", made, *simWorkers, took.Round(time.Second), 100*part, ideal.Round(time.Second), loads, s.loads, least,
			slices.Max(waits).Round(time.Second), median(waits).Round(time.Second))
		fmt.Printf("NATS for each picture: the API gets %.1f messages and %.0f bytes, and sends %.1f; all workers get %.1f messages and %.0f "+
			"bytes, and send %.1f\n", each(api.ReceivedMessages), each(api.ReceivedBytes), each(api.SentMessages),
			each(s.traffic.ReceivedMessages), each(s.traffic.ReceivedBytes), each(s.traffic.SentMessages))
		whole := took * time.Duration(*simWorkers)
		last := time.Duration(0)
		for _, at := range s.rested {
			last += max(took-at.Sub(began), 0)
		}
		share := func(d time.Duration) float64 { return 100 * d.Seconds() / whole.Seconds() }
		fmt.Printf("The workers' time: %.1f %% computing in full batches, %.1f %% more because batches are smaller, %.1f %% loading, "+
			"%.1f %% dead, %.1f %% nothing left at the end, %.1f %% waiting\n", share(work), share(s.worked-work), share(s.loading), share(lost),
			share(last), share(whole-s.worked-s.loading-lost-last))
		assert.GreaterOrEqual(t, part, *simLeast)
		assert.LessOrEqual(t, float64(loads), *simLoads*float64(least))
		assert.LessOrEqual(t, slices.Max(waits), mostWait)
	})
}

// small submits a run of two pictures for each model in turn while others wait, and waits until all runs have ended. It returns how long
// its runs took.
func (s *simulation) small(ctx context.Context, seed int) (waits []time.Duration) {
	var mu sync.Mutex
	var asking sync.WaitGroup
	for i := 0; s.api.Waiting() > 0; i++ {
		asking.Go(func() {
			began := time.Now()
			id := s.submit(ctx, "small", simModels[i%len(simModels)], 2, seed+i)
			r, err := s.api.Wait(ctx, "small", id)
			assert.NoError(s.t, err)
			assert.Equal(s.t, 2, r.Made)
			mu.Lock()
			defer mu.Unlock()
			waits = append(waits, time.Since(began))
		})
		time.Sleep(20 * time.Second)
	}
	asking.Wait()
	for {
		if _, open := s.api.Unfinished(""); open == 0 {
			return waits
		}
		time.Sleep(time.Second)
	}
}

func median(list []time.Duration) time.Duration {
	slices.Sort(list)
	return list[len(list)/2]
}
