package durable

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/gofrs/flock"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// embedded is a NATS server in this process.
type embedded struct {
	s    *server.Server
	lock *flock.Flock // of its folder: two servers must not write there
}

// startTimeout is how long the server may take to read what is kept.
const startTimeout = 2 * time.Minute

// startEmbedded starts a server whose files are in a folder. It answers this process alone unless an address is given. Every write is
// synced before it is acknowledged: the server's own default is every two minutes.
func startEmbedded(o Options) (*embedded, error) {
	dir := filepath.Join(o.Dir, "queue")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	lock := flock.New(filepath.Join(dir, "lock"))
	if ok, err := lock.TryLock(); err != nil {
		return nil, err
	} else if !ok {
		return nil, fmt.Errorf("%s is used by another server; end that one, or use another folder", o.Dir)
	}
	e := &embedded{lock: lock}
	if err := e.start(dir, o); err != nil {
		return nil, errors.Join(err, lock.Unlock())
	}
	return e, nil
}

// start starts the server.
func (e *embedded) start(dir string, o Options) error {
	opts := &server.Options{ServerName: "daguerre", JetStream: true, StoreDir: dir, SyncAlways: true, DontListen: true, NoSigs: true,
		MaxPayload: maxMessage, JetStreamMaxMemory: 256 << 20, JetStreamMaxStore: 1 << 40}
	if o.Listen != "" {
		host, port, err := net.SplitHostPort(o.Listen)
		if err != nil {
			return err
		}
		if opts.Port, err = strconv.Atoi(port); err != nil {
			return err
		}
		if opts.Port == 0 {
			opts.Port = server.RANDOM_PORT
		}
		opts.Host, opts.DontListen = host, false
	}
	s, err := server.NewServer(opts)
	if err != nil {
		return err
	}
	s.SetLogger(natsLog{o.Log}, false, false)
	go s.Start()
	if !s.ReadyForConnections(startTimeout) {
		s.Shutdown()
		return errors.New("the embedded NATS server does not start; its log tells more")
	}
	e.s = s
	return nil
}

func (e *embedded) connect() (*nats.Conn, error) {
	return nats.Connect("", nats.Name("daguerre"), nats.InProcessServer(e.s), nats.MaxReconnects(-1))
}

func (e *embedded) close() {
	e.s.Shutdown()
	e.s.WaitForShutdown()
	_ = e.lock.Unlock() // the end of the process does it, too
}

// natsLog passes the server's log on. What it says in ordinary operation is of no interest.
type natsLog struct{ log *slog.Logger }

func (l natsLog) say(level func(string, ...any), format string, v []any) {
	level(fmt.Sprintf("nats: "+format, v...))
}
func (l natsLog) Noticef(format string, v ...any) { l.say(l.log.Debug, format, v) }
func (l natsLog) Warnf(format string, v ...any)   { l.say(l.log.Warn, format, v) }
func (l natsLog) Fatalf(format string, v ...any)  { l.say(l.log.Error, format, v) }
func (l natsLog) Errorf(format string, v ...any)  { l.say(l.log.Error, format, v) }
func (l natsLog) Debugf(string, ...any)           {}
func (l natsLog) Tracef(string, ...any)           {}
