package durable

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// clusterReplicas is on how many servers of a cluster everything is kept where nobody says it.
const clusterReplicas = 3

// creator makes streams and buckets. Its first error stays.
type creator struct {
	ctx context.Context
	q   *Queue
	err error
}

// stream makes a stream, or takes the one that is there.
func (c *creator) stream(config jetstream.StreamConfig) jetstream.Stream {
	config.Storage, config.AllowDirect = jetstream.FileStorage, true
	there, err := c.q.js.Stream(c.ctx, config.Name)
	if c.has(err, jetstream.ErrStreamNotFound, config.Name) {
		if config.Replicas = c.replicas(there.CachedInfo().Config.Replicas); c.q.o.Access != Owns {
			return there
		}
	} else {
		config.Replicas = c.replicas(0)
	}
	if c.err != nil {
		return nil
	}
	there, c.err = c.q.js.CreateOrUpdateStream(c.ctx, config)
	return there
}

// bucket makes a bucket of keys, or takes the one that is there.
func (c *creator) bucket(config jetstream.KeyValueConfig) jetstream.KeyValue {
	there, err := c.q.js.KeyValue(c.ctx, config.Bucket)
	if c.has(err, jetstream.ErrBucketNotFound, config.Bucket) {
		status, err := there.Status(c.ctx)
		if err != nil {
			c.err = errors.Join(c.err, err)
			return nil
		}
		if config.Replicas = c.replicas(status.Config().Replicas); c.q.o.Access != Owns {
			return there
		}
	} else {
		config.Replicas = c.replicas(0)
	}
	if c.err != nil {
		return nil
	}
	there, c.err = c.q.js.CreateOrUpdateKeyValue(c.ctx, config)
	return there
}

// has reports whether something is there; err is what looking for it said.
func (c *creator) has(err, missing error, name string) bool {
	switch {
	case c.err != nil || err == nil:
	case !errors.Is(err, missing):
		c.err = err
	case c.q.o.Access == Observes:
		c.err = fmt.Errorf("%s is not there; a server or a worker makes it: daguerre serve --nats", name)
	}
	return err == nil && c.err == nil
}

// replicas is on how many servers something is to be kept that is on so many now; 0: it is not there.
func (c *creator) replicas(now int) int {
	switch {
	case c.q.o.Replicas > 0:
		return c.q.o.Replicas
	case now > 0:
		return now
	case c.q.nc.ConnectedClusterName() != "":
		return clusterReplicas
	}
	return 1
}

// create makes the streams and buckets that are missing, and brings others up to date, as far as Options.Access allows it.
func (q *Queue) create(ctx context.Context) error {
	c := &creator{ctx: ctx, q: q}
	q.work = c.stream(jetstream.StreamConfig{Name: workStream, Subjects: []string{workRoot + ">"}, Retention: jetstream.WorkQueuePolicy,
		Duplicates: seen, AllowAtomicPublish: true, Description: "runs that are to be made; a message goes when its run has ended"})
	q.events = c.stream(jetstream.StreamConfig{Name: eventStream, Subjects: []string{eventRoot + ">"}, MaxAge: q.o.Keep,
		Duplicates: min(seen, q.o.Keep), Description: "what happened to each run"})
	q.dead = c.stream(jetstream.StreamConfig{Name: deadStream, Subjects: []string{deadRoot + ">"}, MaxMsgsPerSubject: 1, Duplicates: seen,
		Description: "runs that workers died of"})
	c.stream(jetstream.StreamConfig{Name: adviceStream, Subjects: []string{adviceRoot}, Retention: jetstream.WorkQueuePolicy,
		Description: "messages that JetStream gave up"})
	q.runs = c.bucket(jetstream.KeyValueConfig{Bucket: runBucket, LimitMarkerTTL: time.Hour,
		Description: "the state of each run that a worker has taken"})
	q.lanes = c.bucket(jetstream.KeyValueConfig{Bucket: laneBucket, Description: "the queues: a priority, an owner and a model each"})
	q.previews = c.bucket(jetstream.KeyValueConfig{Bucket: previewStore, Storage: jetstream.MemoryStorage, TTL: 10 * time.Minute,
		MaxValueSize: maxPreview, Description: "how pictures stand"})
	q.workers = c.bucket(jetstream.KeyValueConfig{Bucket: workerBucket, Storage: jetstream.MemoryStorage, TTL: presentFor,
		Description: "workers that are alive"})
	q.listings = c.bucket(jetstream.KeyValueConfig{Bucket: listingBucket, TTL: listingKept,
		Description: "the models and other files that workers have"})
	return c.err
}
