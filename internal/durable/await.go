package durable

import (
	"context"
	"crypto/tls"
	"errors"
	"io/fs"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// openPause is the time between two tries to open a queue.
const openPause = time.Second

// Open connects to the servers, or starts one, and makes what is missing there. It waits until servers of others answer: they may be
// starting at the same time. With Observes it does not wait.
func Open(ctx context.Context, o Options) (*Queue, error) {
	o = o.filled()
	for {
		q, err := tryOpen(ctx, o)
		if err == nil || o.URL == "" || o.Access == Observes || !passes(err) || ctx.Err() != nil {
			return q, err
		}
		o.Log.Warn("the servers of the queue do not answer yet; trying again", "servers", Servers(o.URL), "error", err)
		select {
		case <-time.After(openPause):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// errSilent is why a queue is not open if a request was not answered.
var errSilent = errors.New("the NATS servers did not answer a request in time")

// The codes of JetStream that nats.go has no names for, https://github.com/nats-io/nats-server/blob/main/server/errors.json
const (
	codeNoPeers    jetstream.ErrorCode = 10005 // not all servers of the cluster are there
	codeNotMember  jetstream.ErrorCode = 10044
	codeReplicated jetstream.ErrorCode = 10074 // replicas without a cluster
)

// passes reports whether what kept a queue from opening may pass: servers start, or are away for a while.
func passes(err error) bool {
	for _, lasting := range []error{nats.ErrAuthorization, nats.ErrAuthExpired, nats.ErrAuthRevoked, nats.ErrAccountAuthExpired,
		nats.ErrSecureConnRequired, nats.ErrSecureConnWanted} {
		if errors.Is(err, lasting) {
			return false
		}
	}
	if api, ok := errors.AsType[*jetstream.APIError](err); ok {
		return api.Code >= 500 && api.ErrorCode != codeReplicated ||
			slices.Contains([]jetstream.ErrorCode{codeNoPeers, codeNotMember, jetstream.JSErrCodeStreamNameInUse}, api.ErrorCode)
	}
	_, file := errors.AsType[*fs.PathError](err)
	_, address := errors.AsType[*url.Error](err)
	_, certificate := errors.AsType[*tls.CertificateVerificationError](err)
	return !file && !address && !certificate
}

// Servers are those that an Options.URL names, without its secrets.
func Servers(urls string) string {
	list := strings.Split(urls, ",")
	for i, u := range list {
		scheme, rest, ok := strings.Cut(u, "://")
		if !ok {
			scheme, rest = "nats", u
		}
		list[i] = scheme + "://" + rest[strings.LastIndex(rest, "@")+1:]
	}
	return strings.Join(list, ",")
}
