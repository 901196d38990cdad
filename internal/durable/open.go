package durable

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Options configure a Queue.
type Options struct {
	Dir      string        // of the embedded server; unused with URL and Beside
	Beside   *Queue        // whose embedded server is used, as if by another process; nil: none
	URL      string        // of other servers, with commas between; empty: the embedded one
	Creds    string        // file with the credentials for URL; empty: none
	CA       string        // PEM file with the authorities that may have signed URL's certificate; empty: the system's
	Listen   string        // address at which the embedded server takes other programs; empty: none
	Access   Access        // what Open may change at URL
	Replicas int           // of what is kept; 0: as many as there are, else 3 in a cluster and 1 elsewhere
	Keep     time.Duration // for which what has ended is kept; 0: DefaultKeep
	AckWait  time.Duration // after which a worker that says nothing has lost its run; 0: DefaultAckWait
	Attempts int           // workers that may die of a run; 0: DefaultAttempts
	Log      *slog.Logger  // nil: none
	Now      func() time.Time
}

// Access says what Open may change.
type Access int

// The kinds of Access.
const (
	Owns     Access = iota // makes what is missing, and sets it up as Options say
	Joins                  // makes what is missing, and leaves the rest as it is. It is a worker's: it knows only the runs that it has
	Observes               // makes nothing, and tends nothing
)

// The values that stand for zero in Options.
const (
	DefaultKeep     = 7 * 24 * time.Hour
	DefaultAckWait  = 15 * time.Second
	DefaultAttempts = 3
)

// deliveries is how often JetStream hands out a message at most. It is a backstop: Attempts counts what a worker has begun with.
const deliveries = 100

// seen is for how long a second copy of a message is known as one: as long as a client of NATS may try again. Later copies are harmless:
// a run's record and its events tell what was done.
const seen = 2 * time.Minute

// Queue is what is kept. Its methods may be called from any goroutine.
type Queue struct {
	o        Options
	embedded *embedded // nil: other servers are used
	nc       *nats.Conn
	js       jetstream.JetStream
	work     jetstream.Stream
	events   jetstream.Stream
	dead     jetstream.Stream
	runs     jetstream.KeyValue
	lanes    jetstream.KeyValue
	previews jetstream.KeyValue
	workers  jetstream.KeyValue
	listings jetstream.KeyValue

	publisher publisher
	present   presences

	index   *index
	known   laneSet
	board   boards
	held    holdings
	checked map[string]bool // of sweep: runs whose message was seen
	stop    context.CancelFunc
	ended   sync.WaitGroup
}

// tryOpen is Open for one try.
func tryOpen(ctx context.Context, o Options) (*Queue, error) {
	q := &Queue{o: o, index: newIndex(), checked: map[string]bool{}, present: presences{list: map[string]*heardOf{}}}
	q.publisher = publisher{q, make(chan *sending), make(chan struct{})}
	var err error
	switch {
	case o.Beside != nil:
		q.nc, err = o.Beside.embedded.connect()
	case o.URL == "":
		if q.embedded, err = startEmbedded(o); err != nil {
			return nil, err
		}
		q.nc, err = q.embedded.connect()
	default:
		q.nc, err = connect(o)
	}
	if err == nil {
		q.js, err = jetstream.New(q.nc, jetstream.WithPublishAsyncMaxPending(4096), jetstream.WithPublishAsyncTimeout(ackTime))
	}
	if err == nil {
		err = q.create(ctx)
	}
	var background context.Context
	background, q.stop = context.WithCancel(context.Background())
	if err == nil {
		err = q.follow(ctx, background)
	}
	if err != nil {
		q.Close()
		if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
			err = errSilent
		}
		return nil, fmt.Errorf("the queue: %w", err)
	}
	q.ended.Go(func() { q.publisher.run(background) })
	if o.Access == Owns {
		q.ended.Go(func() { q.sweep(background) })
		q.ended.Go(func() { q.tellBoards(background) })
	}
	return q, nil
}

func (o Options) filled() Options {
	o.Replicas = max(o.Replicas, 0)
	if o.Keep <= 0 {
		o.Keep = DefaultKeep
	}
	if o.AckWait <= 0 {
		o.AckWait = DefaultAckWait
	}
	if o.Attempts <= 0 {
		o.Attempts = DefaultAttempts
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

// connect connects to servers that others run. It goes on trying where none answers later.
func connect(o Options) (*nats.Conn, error) {
	opts := []nats.Option{nats.Name("daguerre"), nats.MaxReconnects(-1), nats.ReconnectWait(500 * time.Millisecond)}
	if o.Creds != "" {
		opts = append(opts, nats.UserCredentials(o.Creds))
	}
	if o.CA != "" {
		opts = append(opts, nats.RootCAs(o.CA))
	}
	return nats.Connect(o.URL, opts...)
}

// Close ends the connection, and the embedded server. What workers have in work stays theirs until their time is over.
func (q *Queue) Close() {
	if q.stop != nil {
		q.stop()
	}
	if q.nc != nil {
		_ = q.nc.FlushTimeout(time.Second) // nobody is left who could do anything about it
		q.nc.Close()
	}
	q.ended.Wait()
	if q.embedded != nil {
		q.embedded.close()
	}
}

// Ready returns why the queue does not answer; nil: it does.
func (q *Queue) Ready(ctx context.Context) error {
	if !q.nc.IsConnected() {
		return errors.New("no NATS server is connected")
	}
	_, err := q.js.AccountInfo(ctx)
	return err
}

// Traffic is what this process has exchanged with the servers.
type Traffic struct{ ReceivedMessages, SentMessages, ReceivedBytes, SentBytes uint64 }

// Traffic tells what this process has exchanged with the servers so far.
func (q *Queue) Traffic() Traffic {
	s := q.nc.Stats()
	return Traffic{s.InMsgs, s.OutMsgs, s.InBytes, s.OutBytes}
}
