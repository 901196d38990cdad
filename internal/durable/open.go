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
	Dir      string        // of the embedded server; unused with URL
	URL      string        // of other servers, with commas between; empty: the embedded one
	Creds    string        // file with the credentials for URL; empty: none
	Listen   string        // address at which the embedded server takes other programs; empty: none
	Replicas int           // of what is kept; 0: 1
	Keep     time.Duration // for which what has ended is kept; 0: DefaultKeep
	AckWait  time.Duration // after which a worker that says nothing has lost its run; 0: DefaultAckWait
	Attempts int           // workers that may die of a run; 0: DefaultAttempts
	Log      *slog.Logger  // nil: none
	Now      func() time.Time
}

// The values that stand for zero in Options.
const (
	DefaultKeep     = 7 * 24 * time.Hour
	DefaultAckWait  = 15 * time.Second
	DefaultAttempts = 5
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

	publisher publisher

	index   *index
	known   laneSet
	checked map[string]bool // of sweep: runs whose message was seen
	stop    context.CancelFunc
	ended   sync.WaitGroup
}

// Open connects to the servers, or starts one, and makes what is missing there.
func Open(ctx context.Context, o Options) (*Queue, error) {
	o = o.filled()
	q := &Queue{o: o, index: newIndex(), checked: map[string]bool{}}
	q.publisher = publisher{q, make(chan *sending), make(chan struct{})}
	var err error
	if o.URL == "" {
		if q.embedded, err = startEmbedded(o); err != nil {
			return nil, err
		}
		q.nc, err = q.embedded.connect()
	} else {
		q.nc, err = connect(o)
	}
	if err == nil {
		q.js, err = jetstream.New(q.nc, jetstream.WithPublishAsyncMaxPending(4096))
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
		return nil, fmt.Errorf("the queue: %w", err)
	}
	q.ended.Go(func() { q.publisher.run(background) })
	q.ended.Go(func() { q.sweep(background) })
	return q, nil
}

func (o Options) filled() Options {
	o.Replicas = max(o.Replicas, 1)
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
	return nats.Connect(o.URL, opts...)
}

// create makes the streams and buckets that are missing, and brings others up to date.
func (q *Queue) create(ctx context.Context) (err error) {
	stream := func(c jetstream.StreamConfig) jetstream.Stream {
		c.Replicas, c.Storage, c.AllowDirect = q.o.Replicas, jetstream.FileStorage, true
		s, e := q.js.CreateOrUpdateStream(ctx, c)
		err = errors.Join(err, e)
		return s
	}
	bucket := func(c jetstream.KeyValueConfig) jetstream.KeyValue {
		c.Replicas = q.o.Replicas
		kv, e := q.js.CreateOrUpdateKeyValue(ctx, c)
		err = errors.Join(err, e)
		return kv
	}
	q.work = stream(jetstream.StreamConfig{Name: workStream, Subjects: []string{workRoot + ">"}, Retention: jetstream.WorkQueuePolicy,
		Duplicates: seen, AllowAtomicPublish: true, Description: "runs that are to be made; a message goes when its run has ended"})
	q.events = stream(jetstream.StreamConfig{Name: eventStream, Subjects: []string{eventRoot + ">"}, MaxAge: q.o.Keep, Duplicates: seen,
		Description: "what happened to each run"})
	q.dead = stream(jetstream.StreamConfig{Name: deadStream, Subjects: []string{deadRoot + ">"}, MaxMsgsPerSubject: 1, Duplicates: seen,
		Description: "runs that workers died of"})
	stream(jetstream.StreamConfig{Name: adviceStream, Subjects: []string{adviceRoot}, Retention: jetstream.WorkQueuePolicy,
		Description: "messages that JetStream gave up"})
	q.runs = bucket(jetstream.KeyValueConfig{Bucket: runBucket, LimitMarkerTTL: time.Hour,
		Description: "the state of each run that a worker has taken"})
	q.lanes = bucket(jetstream.KeyValueConfig{Bucket: laneBucket, Description: "the queues: a priority, an owner and a model each"})
	q.previews = bucket(jetstream.KeyValueConfig{Bucket: previewStore, Storage: jetstream.MemoryStorage, TTL: 10 * time.Minute,
		MaxValueSize: maxPreview, Description: "how pictures stand"})
	return err
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
