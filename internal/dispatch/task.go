package dispatch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/daguerre-go/daguerre/internal/blobs"
	"github.com/daguerre-go/daguerre/internal/durable"
	"github.com/daguerre-go/daguerre/internal/service"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// Settings is what a run asks of its worker, as Record.Options.
type Settings struct {
	Format   string `json:"format,omitempty"`   // of pictures: png, jpeg or webp; empty: png
	Previews int    `json:"previews,omitempty"` // every so many steps; 0: none
}

// task is a run in work.
type task struct {
	*durable.Claim
	w    *Worker
	sink *sink
	stop context.CancelFunc // of keep

	mu      sync.Mutex
	order   string // its id in the service; empty: it is not there
	started bool   // it is being computed
	left    error  // why it was let go of; nil: it was not
	kept    error  // why a picture could not be kept, or something not be read
	lacks   bool   // a file of the run is not on this machine
}

func newTask(w *Worker, c *durable.Claim) *task { return &task{Claim: c, w: w} }

func (t *task) begun() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.started
}

// keep tells the queue that the run is still in work, and hears whether it is to be given up, until ctx ends.
func (t *task) keep(ctx context.Context, stop context.CancelFunc) {
	defer stop()
	if deaf, err := t.HearChanges(t.adapt); err == nil {
		defer deaf()
	}
	tick := time.NewTicker(t.w.o.Queue.AliveEvery())
	defer tick.Stop()
	for {
		cancel, lost, moved := t.Cancelled()
		switch {
		case lost:
			t.leave(errLost)
			moved = nil
		case cancel:
			t.leave(errWanted)
			moved = nil
		}
		select {
		case <-moved:
		case <-tick.C:
			if err := t.Alive(); err != nil {
				t.w.o.Log.Warn("the queue does not hear of a run in work", "run", t.ID, "error", err)
			}
		case <-ctx.Done():
			return
		}
	}
}

// leave has the service let go of the run.
func (t *task) leave(why error) {
	t.mu.Lock()
	first, order := t.left == nil, t.order
	if first {
		t.left = why
	}
	t.mu.Unlock()
	if first && order != "" {
		_ = t.w.o.Service.Cancel(order, "", nil, nil) // it may have ended
	}
}

// begin gives the run to the service.
func (t *task) begin(ctx context.Context) {
	work, err := t.work(ctx)
	if err == nil {
		order := fmt.Sprintf("%s.%d.%d", t.ID, t.Turn, t.Piece.Claim)
		t.mu.Lock()
		t.order = order
		left := t.left
		t.mu.Unlock()
		if err = left; err == nil {
			err = t.w.o.Service.Make(service.Ask{ID: order, Type: "run", Tell: t.hear}, work)
		}
		t.mu.Lock()
		left = t.left
		t.mu.Unlock()
		if err == nil && left != nil { // let go of between the two
			_ = t.w.o.Service.Cancel(order, "", nil, nil)
		}
	}
	if err != nil {
		go t.end(service.Ended{State: service.Failed, Err: err})
	}
}

// work reads what the run asks for.
func (t *task) work(ctx context.Context) (w service.Work, err error) {
	data := []byte(t.Run)
	if t.RunAt != "" {
		if data, err = t.fetch(ctx, t.RunAt); err != nil {
			return w, err
		}
	}
	run, err := request.DecodeJSON(data)
	if err != nil {
		return w, err
	}
	var set Settings
	if err := json.Unmarshal(or(t.Options), &set); err != nil {
		return w, err
	}
	if err := json.Unmarshal(orList(t.Changes), &w.Changes); err != nil {
		return w, err
	}
	err = t.w.o.Catalog().Resolve(&run, func(id string) ([]byte, error) { return t.fetch(ctx, UploadKey(t.Owner, id)) })
	if err != nil {
		t.mu.Lock()
		t.lacks = true
		t.mu.Unlock()
		return w, err
	}
	if t.sink, err = newSink(ctx, t, run); err != nil {
		t.away(err)
		return w, err
	}
	for i := range run.Jobs {
		run.Jobs[i].Output = "picture." + extension(set.Format, run.Jobs[i].Output)
	}
	w.Run, w.Owner, w.Priority, w.Deadline = run, t.Owner, t.Priority, t.Deadline
	w.Delivery = service.Delivery{Store: t.sink, Images: service.ImagesPath, Previews: set.Previews, Every: progressEvery}
	return w, nil
}

// fetch reads a file of the store.
func (t *task) fetch(ctx context.Context, key string) ([]byte, error) {
	data, err := t.w.o.Store.Get(ctx, key)
	if err != nil && !errors.Is(err, blobs.ErrNotFound) {
		t.away(err)
	}
	return data, err
}

// away notes that the store or the queue does not answer: the run is to be tried again.
func (t *task) away(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kept = errors.Join(t.kept, err)
}

// progressEvery is the least time between two reports of a job's steps.
const progressEvery = 200 * time.Millisecond

func or(data json.RawMessage) json.RawMessage {
	if len(data) == 0 {
		return json.RawMessage("{}")
	}
	return data
}

func orList(data json.RawMessage) json.RawMessage {
	if len(data) == 0 {
		return json.RawMessage("[]")
	}
	return data
}

// adapt changes an adapter of the run in work. Who asked has been answered: the change is kept in the record, too.
func (t *task) adapt(change json.RawMessage) {
	var c service.Change
	if err := json.Unmarshal(change, &c); err != nil {
		return // it is no change
	}
	t.mu.Lock()
	order := t.order
	t.mu.Unlock()
	if order == "" {
		return // work reads the changes
	}
	id := order + ".adapt." + durable.NewID()
	err := t.w.o.Service.Adapt(service.Ask{ID: id, Type: "adapt", Tell: func(e service.Event) {
		if e, ok := e.(service.Ended); ok && e.Err != nil {
			t.w.o.Log.Info("an adapter was not changed", "run", t.ID, "error", e.Err)
		}
	}}, order, c)
	if err != nil {
		t.w.o.Log.Info("an adapter was not changed", "run", t.ID, "error", err)
	}
}

// end ends the run in the queue as it has ended in the service.
func (t *task) end(e service.Ended) {
	defer t.w.ended(t)
	defer t.stop()
	t.mu.Lock()
	left, kept, lacks := t.left, t.kept, t.lacks
	t.mu.Unlock()
	log := t.w.o.Log.With("run", t.ID, "owner", t.Owner, "attempt", t.Attempts)
	switch {
	case errors.Is(left, errLost):
		log.Warn("another worker has taken the run")
		return
	case errors.Is(left, errDrained) && e.State != service.Done:
		t.giveBack(0, false)
		return
	case kept != nil:
		log.Error("the store or the queue does not answer; the run is tried again", "error", kept)
		t.giveBack(keepPause, false)
		return
	}
	large := t.w.tooLarge(e.Err)
	if large {
		t.w.relieve()
	}
	if (large || lacks) && t.w.other(&t.Record, t.Piece) {
		log.Warn("this worker cannot make the run; it is left to another one", "error", e.Err)
		t.giveBack(0, true)
		return
	}
	err := t.insist(func(ctx context.Context) error {
		if err := t.Told(ctx); err != nil {
			return err
		}
		return t.Finish(ctx, t.ending(e), e.Seeds)
	})
	if err != nil {
		log.Warn("the end of a run could not be kept; it comes again", "error", err)
		return
	}
	log.Info("run ended", "state", string(e.State), "images", e.Images, "failed", e.Failed, "seconds", e.Seconds)
}

// The time that the queue has to answer, the pause before the next try, and the one before a run is made again whose pictures could not be
// kept.
const (
	answerTime = 10 * time.Second
	tryPause   = time.Second
	keepPause  = 10 * time.Second
)

// insist does something until the queue has taken it. The run stays this worker's until then: a queue that is away for a while loses
// nothing. It gives up if another worker has the run, and when the worker has ended.
func (t *task) insist(f func(ctx context.Context) error) error {
	for {
		ctx, cancel := context.WithTimeout(context.Background(), answerTime)
		err := f(ctx)
		cancel()
		if err == nil || errors.Is(err, durable.ErrLost) || errors.Is(err, durable.ErrNotFound) {
			return err
		}
		t.w.o.Log.Debug("the queue has not taken it; trying again", "run", t.ID, "error", err)
		select {
		case <-time.After(tryPause):
		case <-t.w.over:
			return err
		}
	}
}

// ending is how the piece ended.
func (t *task) ending(e service.Ended) durable.End {
	end := durable.End{State: durable.State(e.State)}
	if t.sink != nil {
		end.Made = t.sink.count()
	}
	end.Failed = min(e.Failed, t.Size()-end.Made) // a job that fails as a whole counts with the pictures of other pieces
	if e.Err == nil {
		return end
	}
	p := t.problem(e.Err)
	end.Error = &p
	switch {
	case p.Code == string(service.CodeCancelled):
		end.State = durable.Cancelled
	case end.Made > 0 && p.Code != string(service.CodeDeadline):
		end.State, end.Error = durable.Done, nil
	default:
		end.State = durable.Failed
	}
	return end
}

// problem tells the client of an error, without the folders of this machine.
func (t *task) problem(err error) durable.Failure {
	e, hide := t.w.o.Service.Explain(err), t.w.o.Catalog().Hide
	p := durable.Failure{Code: string(e.Code), Message: hide(e.Message)}
	for _, f := range e.Fields {
		p.Fields = append(p.Fields, durable.Field{Path: f.Path, Message: hide(f.Message)})
	}
	return p
}

func (t *task) giveBack(pause time.Duration, unable bool) {
	err := t.insist(func(ctx context.Context) error {
		if err := t.Told(ctx); err != nil {
			return err
		}
		return t.GiveBack(ctx, pause, unable)
	})
	if err != nil && !errors.Is(err, durable.ErrLost) {
		t.w.o.Log.Warn("a run could not be given back; it comes again later", "run", t.ID, "error", err)
	}
}

// UploadKey is where in a store an upload is.
func UploadKey(owner, id string) string { return "uploads/" + owner + "/" + id }
