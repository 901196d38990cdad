package durable

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/url"
	"strconv"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// heardLog tells of each record.
type heardLog struct {
	slog.Handler
	said chan string
}

func (h heardLog) Handle(_ context.Context, r slog.Record) error {
	select {
	case h.said <- r.Message:
	default:
	}
	return nil
}

// TestOpenWaits opens a queue before its server is there: it is open once the server has started.
func TestOpenWaits(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := l.Addr().String()
	require.NoError(t, l.Close())
	said := make(chan string, 1)
	o := Options{URL: "nats://" + addr, Log: slog.New(heardLog{slog.DiscardHandler, said}), Access: Observes}
	_, err = Open(context.Background(), o)
	require.ErrorIs(t, err, nats.ErrNoServers, "who only looks does not wait")

	o.Access = Joins
	o.Log = slog.New(heardLog{slog.NewTextHandler(t.Output(), nil), said})
	ctx, cancel := context.WithTimeout(context.Background(), long)
	defer cancel()
	opened := make(chan error, 1)
	go func() {
		q, err := Open(ctx, o)
		if q != nil {
			q.Close()
		}
		opened <- err
	}()
	assert.Contains(t, <-said, "do not answer yet")
	host, port, _ := net.SplitHostPort(addr)
	number, _ := strconv.Atoi(port)
	s, err := server.NewServer(&server.Options{Host: host, Port: number, JetStream: true, StoreDir: t.TempDir(), NoSigs: true, NoLog: true})
	require.NoError(t, err)
	go s.Start()
	t.Cleanup(func() {
		s.Shutdown()
		s.WaitForShutdown()
	})
	require.NoError(t, <-opened)
}

// TestOpenGivesUp opens a queue whose server never comes.
func TestOpenGivesUp(t *testing.T) {
	said := make(chan string, 1)
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		<-said
		cancel()
	}()
	_, err := Open(ctx, Options{URL: "nats://127.0.0.1:1", Log: slog.New(heardLog{slog.NewTextHandler(t.Output(), nil), said})})
	assert.ErrorIs(t, err, context.Canceled)
}

// TestPasses tells errors that waiting helps against from others.
func TestPasses(t *testing.T) {
	api := func(code int, number jetstream.ErrorCode) error {
		return &jetstream.APIError{Code: code, ErrorCode: number}
	}
	for _, c := range []struct {
		err  error
		want bool
	}{
		{nats.ErrNoServers, true}, {nats.ErrTimeout, true}, {errSilent, true}, {nats.ErrNoResponders, true},
		{jetstream.ErrJetStreamNotEnabled, true}, {errors.New("EOF"), true}, {api(503, 10008), true}, {api(400, codeNoPeers), true},
		{api(400, jetstream.JSErrCodeStreamNameInUse), true},
		{nats.ErrAuthorization, false}, {nats.ErrAuthRevoked, false}, {&fs.PathError{Op: "open", Path: "creds", Err: fs.ErrNotExist}, false},
		{&url.Error{Op: "parse", URL: "nats://[", Err: errors.New("x")}, false}, {api(500, codeReplicated), false}, {api(400, 10052), false},
	} {
		assert.Equal(t, c.want, passes(fmt.Errorf("the queue: %w", c.err)), c.err)
	}
}

// TestServers hides what is secret in URLs.
func TestServers(t *testing.T) {
	for urls, want := range map[string]string{
		"nats://a:4222": "nats://a:4222", "nats://secret@a,tls://u:p@b:4222": "nats://a,tls://b:4222", "a:1": "nats://a:1",
		"nats://p@ss@a": "nats://a",
	} {
		assert.Equal(t, want, Servers(urls))
	}
}
