package durable

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// PresentEvery is how often a worker is to tell that it is there (Announce).
const PresentEvery = 2 * time.Second

// A worker is taken for gone if nothing was heard of it for presentFor. Listings that no worker has told of for listingKept are forgotten.
const (
	presentFor  = 5 * PresentEvery
	listingKept = 7 * 24 * time.Hour
)

// Presence is what a worker tells of itself.
type Presence struct {
	Name     string    `json:"name"`
	Version  string    `json:"version,omitempty"` // of its program
	Began    time.Time `json:"began"`
	Draining bool      `json:"draining,omitempty"` // it ends, and takes nothing new

	Device  string `json:"device,omitempty"`     // that it computes on
	Free    int64  `json:"free_bytes,omitempty"` // memory of the device
	Total   int64  `json:"total_bytes,omitempty"`
	Listing string `json:"listing,omitempty"` // of its files: see Queue.Listing

	Models  []string           `json:"models"`                 // that it can make runs for
	Loaded  []string           `json:"loaded"`                 // of these
	Aim     string             `json:"aim,omitempty"`          // the model whose runs it takes
	Opening map[string]float64 `json:"load_seconds,omitempty"` // that opening models took, as far as it knows
	Speed   map[string]float64 `json:"speed,omitempty"`        // pictures a second that it makes with models, while it has something to do

	Runs   int     `json:"runs"`              // in work
	Images int     `json:"images"`            // pictures of these
	Window int     `json:"window"`            // pictures in work at most
	Made   int     `json:"made"`              // pictures since Began
	Rate   float64 `json:"images_per_minute"` // of the last minute
}

// presences are the workers that this process has heard of.
type presences struct {
	mu   sync.Mutex
	list map[string]*heardOf
}

// heardOf is a worker, and when it was heard of by this machine's clock.
type heardOf struct {
	Presence
	at time.Time
}

// workerKey is where a worker's presence is kept. Names of hosts may have characters that keys may not.
func workerKey(name string) string {
	return strings.Map(func(c rune) rune {
		if c == '.' || IsName(string(c)) {
			return c
		}
		return '_'
	}, name)
}

// Announce tells how a worker is. It is to be called every PresentEvery.
func (q *Queue) Announce(ctx context.Context, p Presence) error {
	data, err := json.Marshal(p)
	if err != nil {
		return err
	}
	_, err = q.workers.Put(ctx, workerKey(p.Name), data)
	return err
}

// Leave tells that a worker has ended.
func (q *Queue) Leave(ctx context.Context, name string) error {
	return q.workers.Delete(ctx, workerKey(name))
}

// Workers lists the workers that are there, by their names. A queue that Joins knows of them what they aim at and can make.
func (q *Queue) Workers() (list []Presence) {
	if !q.follows() {
		return q.board.now().workers
	}
	q.present.mu.Lock()
	defer q.present.mu.Unlock()
	maps.DeleteFunc(q.present.list, func(_ string, h *heardOf) bool { return time.Since(h.at) > presentFor })
	for _, h := range q.present.list {
		list = append(list, h.Presence)
	}
	slices.SortFunc(list, func(a, b Presence) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// has reports whether a worker is there.
func (p *presences) has(name string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	h := p.list[workerKey(name)]
	return h != nil && time.Since(h.at) <= presentFor
}

// watchWorkers keeps the list of workers as the bucket is.
func (q *Queue) watchWorkers(w jetstream.KeyWatcher, known chan<- struct{}) {
	for e := range w.Updates() {
		if e == nil {
			known <- struct{}{}
			continue
		}
		h := &heardOf{at: time.Now()}
		q.present.mu.Lock()
		if e.Operation() != jetstream.KeyValuePut {
			delete(q.present.list, e.Key())
		} else if json.Unmarshal(e.Value(), &h.Presence) == nil {
			q.present.list[e.Key()] = h
		}
		q.present.mu.Unlock()
	}
}

// KeepListing keeps a listing of files, and returns its name for Presence.Listing. Workers that have the same files share one.
func (q *Queue) KeepListing(ctx context.Context, listing []byte) (name string, err error) {
	sum := sha256.Sum256(listing)
	name = hex.EncodeToString(sum[:16])
	_, err = q.listings.Put(ctx, name, listing)
	return name, err
}

// Listing returns a listing by its name.
func (q *Queue) Listing(ctx context.Context, name string) ([]byte, error) {
	e, err := q.listings.Get(ctx, name)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	return e.Value(), nil
}

// Listings names the listings that are kept: those of workers that have ended among them.
func (q *Queue) Listings(ctx context.Context) ([]string, error) {
	keys, err := q.listings.Keys(ctx)
	if errors.Is(err, jetstream.ErrNoKeysFound) {
		return nil, nil
	}
	slices.Sort(keys)
	return keys, err
}
