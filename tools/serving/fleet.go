//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// process is a program that is started again after it was killed.
type process struct {
	name string
	args []string
	env  []string
	log  string

	restarts atomic.Int64 // after it ended by itself

	mu    sync.Mutex
	cmd   *exec.Cmd
	ended chan struct{} // closed when cmd has ended
}

// start starts the program.
func (p *process) start() error {
	log, err := os.OpenFile(p.log, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }() // the child has it
	cmd := exec.Command(p.args[0], p.args[1:]...)
	cmd.Env, cmd.Stdout, cmd.Stderr = append(os.Environ(), p.env...), log, log
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("%s: %w", p.name, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cmd, p.ended = cmd, make(chan struct{})
	go p.watch(cmd, p.ended)
	return nil
}

// watch starts the program again if it ends by itself, as systemd does.
func (p *process) watch(cmd *exec.Cmd, ended chan struct{}) {
	_ = cmd.Wait() // its log tells
	close(ended)
	time.Sleep(time.Second)
	p.mu.Lock()
	mine := p.cmd == cmd
	p.mu.Unlock()
	if mine {
		p.restarts.Add(1)
		_ = p.start() // it was there before
	}
}

// signal sends a signal to the program.
func (p *process) signal(s syscall.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd != nil {
		_ = p.cmd.Process.Signal(s) // it may have ended
	}
}

// kill ends the program at once and waits for its end.
func (p *process) kill() {
	p.mu.Lock()
	cmd, ended := p.cmd, p.ended
	p.cmd = nil
	p.mu.Unlock()
	if cmd != nil {
		_ = cmd.Process.Kill() // it may have ended
		<-ended
	}
}

// link passes connections on to an address until it is cut.
type link struct {
	l  net.Listener
	to string

	mu    sync.Mutex
	cut   bool
	conns map[net.Conn]bool
}

func newLink(to string) (*link, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	k := &link{l: l, to: to, conns: map[net.Conn]bool{}}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go k.pass(c)
		}
	}()
	return k, nil
}

func (k *link) pass(c net.Conn) {
	defer func() { _ = c.Close() }() // the other side may have done it
	k.mu.Lock()
	cut := k.cut
	k.mu.Unlock()
	if cut {
		return
	}
	other, err := net.Dial("tcp", k.to)
	if err != nil {
		return
	}
	k.mu.Lock()
	k.conns[c], k.conns[other] = true, true
	k.mu.Unlock()
	go func() {
		_, _ = io.Copy(other, c) // one of them ends the other
		_ = other.Close()
	}()
	_, _ = io.Copy(c, other)
	_ = other.Close()
	k.mu.Lock()
	delete(k.conns, c)
	delete(k.conns, other)
	k.mu.Unlock()
}

// set cuts the link, or mends it.
func (k *link) set(cut bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.cut = cut
	if cut {
		for c := range k.conns {
			_ = c.Close() // it is cut
		}
	}
}

// bucket stands before the S3 server: it counts pictures, and fails where it is told to.
type bucket struct {
	proxy *httputil.ReverseProxy
	fails atomic.Bool
	puts  atomic.Int64 // pictures that were stored, each time
	all   atomic.Int64 // requests
	bytes atomic.Int64 // that were stored
}

// ServeHTTP implements http.Handler.
func (b *bucket) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.all.Add(1)
	if b.fails.Load() {
		http.Error(w, "the store is down", http.StatusServiceUnavailable)
		return
	}
	if r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/pictures/") {
		b.puts.Add(1)
		b.bytes.Add(r.ContentLength)
	}
	b.proxy.ServeHTTP(w, r)
}

// fleet is a cluster of NATS servers, API nodes and workers on this machine.
type fleet struct {
	nats, apis, workers []*process
	s3                  *process
	bucket              *bucket
	links               []*link // of the last worker, to each NATS server
	urls                []string
}

func (f *fleet) all() []*process {
	return append(append(append([]*process{f.s3}, f.nats...), f.apis...), f.workers...)
}

func (f *fleet) stop() {
	for _, p := range f.all() {
		if p != nil {
			p.signal(syscall.SIGCONT)
			p.kill()
		}
	}
}

// startFleet starts everything: three NATS servers, an S3 server, API nodes and workers.
func startFleet(ctx context.Context, o options) (f *fleet, err error) {
	f = &fleet{bucket: &bucket{}}
	defer func() {
		if err != nil {
			f.stop()
		}
	}()
	address := func() string {
		a, e := freeAddress()
		err = errors.Join(err, e)
		return a
	}
	in := func(name string) string { return filepath.Join(o.dir, name) }
	var clients, routes []string
	for range 3 {
		clients, routes = append(clients, address()), append(routes, "nats://"+address())
	}
	s3 := address()
	target, e := url.Parse("http://" + s3)
	if err = errors.Join(err, e); err != nil {
		return f, err
	}
	for i := range clients {
		conf := fmt.Sprintf("server_name: n%d\nlisten: %q\nmax_payload: 8MB\njetstream { store_dir: %q, sync_interval: always }\n"+
			"cluster { name: fleet, listen: %q, no_advertise: true, routes: [%s] }\n", i, clients[i], in(fmt.Sprint("js", i)),
			strings.TrimPrefix(routes[i], "nats://"), strings.Join(routes, ", "))
		path := in(fmt.Sprintf("nats%d.conf", i))
		if err = os.WriteFile(path, []byte(conf), 0o600); err != nil {
			return f, err
		}
		f.nats = append(f.nats, &process{name: fmt.Sprint("nats", i), args: []string{o.nats, "-c", path}, log: in(fmt.Sprintf("nats%d.log", i))})
	}
	host, port, _ := net.SplitHostPort(s3)
	f.s3 = &process{name: "s3", args: []string{o.moto, "-H", host, "-p", port}, log: in("s3.log")}
	f.bucket.proxy = httputil.NewSingleHostReverseProxy(target)
	f.bucket.proxy.ErrorLog = log.New(io.Discard, "", 0) // clients go away when they are killed
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return f, err
	}
	go func() { _ = http.Serve(l, f.bucket) }() // it ends with this program
	for _, p := range append(f.nats, f.s3) {
		if err = p.start(); err != nil {
			return f, err
		}
	}
	if err = makeBucket(ctx, "http://"+s3+"/pictures"); err != nil {
		return f, err
	}
	env := []string{"AWS_ACCESS_KEY_ID=x", "AWS_SECRET_ACCESS_KEY=y", "AWS_MAX_ATTEMPTS=3"}
	store := "s3://pictures?region=us-east-1&use_path_style=true&disable_https=true&endpoint=http://" + l.Addr().String()
	urls := "nats://" + strings.Join(clients, ",nats://")
	for i := range 2 {
		addr := address()
		f.urls = append(f.urls, "http://"+addr)
		f.apis = append(f.apis, &process{name: fmt.Sprint("api", i), env: env, log: in(fmt.Sprintf("api%d.log", i)),
			args: append([]string{o.program, "serve", "--api-only", "--addr", addr, "--nats", urls, "--store", store, "--data",
				in(fmt.Sprint("api", i))}, o.serveArgs()...)})
	}
	for i := range o.workers {
		to := urls
		if i == o.workers-1 {
			if to, err = f.linked(clients); err != nil {
				return f, err
			}
		}
		f.workers = append(f.workers, &process{name: fmt.Sprint("worker", i), env: env, log: in(fmt.Sprintf("worker%d.log", i)),
			args: append([]string{o.program, "work", "--nats", to, "--store", store}, o.serveArgs()...)})
	}
	for _, p := range append(f.workers, f.apis...) {
		if err = p.start(); err != nil {
			return f, err
		}
	}
	return f, f.ready(ctx)
}

// linked puts links before NATS servers and returns their URLs.
func (f *fleet) linked(clients []string) (string, error) {
	var urls []string
	for _, to := range clients {
		k, err := newLink(to)
		if err != nil {
			return "", err
		}
		f.links = append(f.links, k)
		urls = append(urls, "nats://"+k.l.Addr().String())
	}
	return strings.Join(urls, ","), nil
}

// makeBucket waits until the S3 server answers, and makes the bucket.
func makeBucket(ctx context.Context, at string) error {
	const key = "AWS4-HMAC-SHA256 Credential=x/20260101/us-east-1/s3/aws4_request"
	status, _, err := persist(ctx, http.MethodPut, at, nil, "Authorization", key)
	if err == nil && status >= 300 {
		err = fmt.Errorf("the bucket cannot be made: %d", status)
	}
	return err
}

// ready waits until the API nodes know a model.
func (f *fleet) ready(ctx context.Context) error {
	for _, u := range f.urls {
		for {
			_, data, err := persist(ctx, "GET", u+"/v1/catalog/models", nil)
			if err != nil {
				return err
			}
			if strings.Contains(string(data), "nano") {
				break
			}
			time.Sleep(100 * time.Millisecond)
		}
	}
	return nil
}

// disturb kills so many processes at random times, and lets other things go wrong meanwhile, until ctx ends.
func (f *fleet) disturb(ctx context.Context, kills int, r *rand.Rand) (killed int) {
	var others sync.WaitGroup
	wait := func(d time.Duration) bool {
		select {
		case <-time.After(d):
			return true
		case <-ctx.Done():
			return false
		}
	}
	during := func(name string, after, d time.Duration, begin, end func()) {
		others.Go(func() {
			if wait(after) {
				fmt.Printf("%s for %s\n", name, d)
				begin()
				wait(d)
				end()
			}
		})
	}
	stopped := f.workers[0]
	during("worker0 stands still", 10*time.Second, time.Minute, func() { stopped.signal(syscall.SIGSTOP) },
		func() { stopped.signal(syscall.SIGCONT) })
	during("the store fails", 40*time.Second, 30*time.Second, func() { f.bucket.fails.Store(true) }, func() { f.bucket.fails.Store(false) })
	during("the link of the last worker is cut", 90*time.Second, 20*time.Second, func() { f.cut(true) }, func() { f.cut(false) })
	for killed < kills && wait(time.Duration(float64(6*time.Second)*r.Float64())) {
		list := append(append([]*process{}, f.workers[1:]...), f.apis...)
		if killed%4 == 3 {
			list = f.nats // one at a time: it is there again before the next one goes
		}
		p := list[r.IntN(len(list))]
		p.kill()
		wait(time.Duration(float64(2*time.Second) * r.Float64()))
		if err := p.start(); err != nil {
			fmt.Println(err)
			return killed
		}
		killed++
		if p == list[0] && killed%4 == 0 {
			wait(3 * time.Second)
		}
	}
	others.Wait()
	return killed
}

func (f *fleet) cut(cut bool) {
	for _, k := range f.links {
		k.set(cut)
	}
}
