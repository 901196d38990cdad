package dispatch

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/daguerre-go/daguerre/internal/durable"
	"github.com/daguerre-go/daguerre/internal/service"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/pipeline"
)

// teller is what a worker remembers between two announcements.
type teller struct {
	began   time.Time
	listing string    // name of the listing that is kept
	listed  time.Time // when it was made
	made    []made    // pictures made so far, by time: of the last minute
	device  backend.Device
	looked  time.Time          // when the device was looked at
	opening map[string]float64 // seconds that opening each model took
	paces   map[string]*pace   // by model
	steps   steps
}

// pace is how many pictures of a model were made in the time in which there was something to make.
type pace struct {
	images int
	busy   time.Duration
}

// steps is what the measuring of a pace remembers. The pictures of a batch are finished nearly at the same time, and the time before
// belongs to all of them. So they are counted once the batch is over: nothing more is finished for a while.
type steps struct {
	model string // that was open alone; empty: none, or several
	at    time.Time
	busy  bool          // there was something in work
	since time.Duration // in which there was, that is not counted yet
	made  int           // pictures that are counted
	seen  int           // pictures that were finished
	grew  time.Time     // when seen changed
	until time.Duration // since as it was then
}

// A pace counts once paceImages were made, and what is older than paceTime counts half. A batch is over where nothing is finished for
// paceLull; pictures that never stop coming are counted every paceLong.
const (
	paceImages = 8
	paceTime   = 10 * time.Minute
	paceLull   = 3 * durable.PresentEvery / 4
	paceLong   = time.Minute
)

type made struct {
	at time.Time
	n  int
}

// The time over which Presence.Rate is measured, and how often the files are listed and the device is looked at.
const (
	rateTime  = time.Minute
	listEvery = time.Minute
	lookEvery = 10 * time.Second
)

// announce tells every now and then that the worker is there, until ctx ends.
func (w *Worker) announce(ctx context.Context) {
	w.told.began, w.told.opening, w.told.paces = time.Now(), map[string]float64{}, map[string]*pace{}
	tick := time.NewTicker(durable.PresentEvery)
	defer tick.Stop()
	for {
		if err := w.o.Queue.Announce(ctx, w.presence(ctx)); err != nil && ctx.Err() == nil {
			w.o.Log.Debug("the queue does not hear that the worker is there", "error", err)
		}
		select {
		case <-tick.C:
		case <-w.news:
		case <-ctx.Done():
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			_ = w.o.Queue.Leave(ctx, w.o.Name) // else it is forgotten a little later
			return
		}
	}
}

// presence is how the worker is now.
func (w *Worker) presence(ctx context.Context) durable.Presence {
	now := time.Now()
	w.list(ctx, now)
	_, orders, open, served := w.o.Service.Status("")
	finished := served.Images
	for _, o := range orders {
		finished += o.Images // it counts as served at its end only
	}
	p := durable.Presence{Name: w.o.Name, Version: w.o.Version, Began: w.told.began, Listing: w.told.listing,
		Models: []string{}, Loaded: []string{}, Made: finished, Rate: w.rate(now, finished)}
	for _, m := range w.o.Catalog().Models() {
		p.Models = append(p.Models, m.Name)
		if took, ok := isOpen(open, pipeline.ModelName(m.Defaults.Model.Model)); ok {
			p.Loaded = append(p.Loaded, m.Name)
			w.told.opening[m.Name] = took.Seconds()
		}
	}
	p.Opening = w.told.opening
	d := w.device(ctx, now, open)
	p.Device, p.Free, p.Total = cmp.Or(d.Description, d.ID), d.FreeBytes, d.TotalBytes
	w.mu.Lock()
	defer w.mu.Unlock()
	p.Draining, p.Runs, p.Aim, p.Window = w.ends, len(w.tasks), w.model, cmp.Or(w.small, w.o.Window)
	for t := range w.tasks {
		p.Images += t.Size()
	}
	p.Speed = w.told.speed(now, p.Loaded, len(w.tasks) > 0, finished)
	return p
}

// speed measures how fast pictures are made, and returns it by model as far as it is known.
func (t *teller) speed(now time.Time, loaded []string, busy bool, made int) map[string]float64 {
	model := ""
	if len(loaded) == 1 {
		model = loaded[0]
	}
	s := &t.steps
	if model != s.model {
		*s = steps{model: model, at: now, busy: busy, made: made, seen: made}
	}
	if busy && s.busy {
		s.since += now.Sub(s.at)
	}
	s.at, s.busy = now, busy
	if made > s.seen {
		s.seen, s.grew, s.until = made, now, s.since
	}
	if model != "" && s.seen > s.made && (now.Sub(s.grew) >= paceLull || s.until >= paceLong) {
		p := t.paces[model]
		if p == nil {
			p = &pace{}
			t.paces[model] = p
		}
		p.images += s.seen - s.made
		p.busy += s.until
		s.made, s.since = s.seen, s.since-s.until
		s.until = 0
		if p.busy > paceTime {
			p.images, p.busy = p.images/2, p.busy/2
		}
	}
	list := map[string]float64{}
	for model, p := range t.paces {
		if p.images >= paceImages && p.busy > 0 {
			list[model] = float64(p.images) / p.busy.Seconds()
		}
	}
	return list
}

// device is the one that an open model computes on; else the first GPU, or the first device.
func (w *Worker) device(ctx context.Context, now time.Time, open []service.ModelInfo) backend.Device {
	if now.Sub(w.told.looked) < lookEvery || len(open) == 0 && !w.o.Shared {
		return w.told.device
	}
	list, err := w.o.Service.Devices(ctx)
	if err != nil || len(list) == 0 {
		return w.told.device
	}
	w.told.looked, w.told.device = now, list[0]
	if i := slices.IndexFunc(list, func(d backend.Device) bool { return d.GPU() && !d.Software }); i >= 0 {
		w.told.device = list[i]
	}
	for _, m := range open {
		if i := slices.IndexFunc(list, func(d backend.Device) bool { return d.ID == m.Device }); i >= 0 {
			w.told.device = list[i]
		}
	}
	return w.told.device
}

// isOpen reports whether a model is open, and how long it took to open it.
func isOpen(open []service.ModelInfo, model string) (took time.Duration, ok bool) {
	for _, o := range open {
		if o.Loaded && o.Model == model {
			return o.Opening, true
		}
	}
	return 0, false
}

// rate is how many pictures a minute were made in the last one.
func (w *Worker) rate(now time.Time, n int) float64 {
	t := &w.told
	for len(t.made) > 1 && now.Sub(t.made[1].at) >= rateTime {
		t.made = t.made[1:]
	}
	t.made = append(t.made, made{now, n})
	took := now.Sub(t.made[0].at)
	if took <= 0 {
		return 0
	}
	return float64(n-t.made[0].n) / took.Minutes()
}

// list keeps the list of the worker's files in the queue.
func (w *Worker) list(ctx context.Context, now time.Time) {
	w.mu.Lock()
	stale := w.stale
	w.stale = false
	w.mu.Unlock()
	if !w.o.Shared || !stale && w.told.listing != "" && now.Sub(w.told.listed) < listEvery {
		return
	}
	l, err := w.o.Catalog().Listing()
	var data []byte
	if err == nil {
		data, err = json.Marshal(l)
	}
	var name string
	if err == nil {
		name, err = w.o.Queue.KeepListing(ctx, data)
	}
	if err != nil {
		if ctx.Err() == nil {
			w.o.Log.Warn("the queue does not hear of the worker's files", "error", err)
		}
		w.told.listed = time.Time{} // it is tried again soon
		return
	}
	w.told.listing, w.told.listed = name, now
}
