package machine

import (
	"maps"
	"sync"
	"time"
)

// DefaultInterval is the time between two samples of a Sampler that is given none.
const DefaultInterval = 100 * time.Millisecond

// Sampler measures memory at intervals and keeps the highest value of every stage. Its methods may be called from any goroutine.
type Sampler struct {
	read func() int64

	mu    sync.Mutex
	stage string
	now   int64
	peak  int64
	peaks map[string]int64

	quit, ended chan struct{}
	once        sync.Once
}

// NewSampler begins to sample read, RSS where it is nil, every interval (0: DefaultInterval). The caller closes it.
func NewSampler(read func() int64, interval time.Duration) *Sampler {
	if read == nil {
		read = RSS
	}
	if interval <= 0 {
		interval = DefaultInterval
	}
	s := &Sampler{read: read, peaks: map[string]int64{}, quit: make(chan struct{}), ended: make(chan struct{})}
	go s.loop(interval)
	return s
}

func (s *Sampler) loop(interval time.Duration) {
	defer close(s.ended)
	t := time.NewTicker(interval)
	defer t.Stop()
	for {
		s.sample()
		select {
		case <-s.quit:
			return
		case <-t.C:
		}
	}
}

func (s *Sampler) sample() {
	n := s.read()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now, s.peak = n, max(s.peak, n)
	if s.stage != "" {
		s.peaks[s.stage] = max(s.peaks[s.stage], n)
	}
}

// Enter says which stage runs from now on; "" is none.
func (s *Sampler) Enter(stage string) {
	s.mu.Lock()
	same := s.stage == stage
	s.stage = stage
	s.mu.Unlock()
	if !same {
		s.sample()
	}
}

// Peaks returns the last sample, the highest of all, and the highest of each stage.
func (s *Sampler) Peaks() (now, peak int64, stages map[string]int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now, s.peak, maps.Clone(s.peaks)
}

// Close ends the sampling; it may be called again.
func (s *Sampler) Close() {
	s.once.Do(func() { close(s.quit) })
	<-s.ended
}
