//go:build unix

package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// fleetScript runs the processes of a fleet.
const fleetScript = "examples/fleet/fleet.sh"

// fleetPorts is how many ports the script uses; the numbers are those of its addresses.
const (
	fleetPorts = 12
	healthPort = 6 // of nats0
	s3Port     = 9
	apiPort    = 10 // of api0
)

// fleet is a cluster of NATS servers, API nodes and workers on this machine.
type fleet struct {
	nats, apis, workers []*process
	s3                  *process
	bucket              *bucket
	links               []*link // of the last worker, to each NATS server
	port                int
	urls                []string
	headers             []string // of requests
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

// at is the address of a port of the script.
func (f *fleet) at(i int) string { return fmt.Sprint("127.0.0.1:", f.port+i) }

// startFleet starts what fleetScript runs. A proxy is before the S3 server, and the last worker has links to the NATS servers.
func startFleet(ctx context.Context, o options) (f *fleet, err error) {
	f = &fleet{bucket: &bucket{}, headers: bearer(o)}
	defer func() {
		if err != nil {
			f.stop()
		}
	}()
	if f.port, err = freePorts(fleetPorts); err != nil {
		return f, err
	}
	dir, err := filepath.Abs(o.dir)
	if err != nil {
		return f, err
	}
	serve := o.args
	if o.tokens != "" {
		serve += " --token-file " + o.tokens
	}
	env := []string{"FLEET_DIR=" + dir, fmt.Sprint("FLEET_PORT=", f.port), "DAGUERRE=" + o.program, "NATS_SERVER=" + o.nats,
		"S3_SERVER=" + o.moto, "SERVE_ARGS=" + serve, "WORK_ARGS=--verbose " + o.args, "AWS_MAX_ATTEMPTS=3"}
	run := func(name string, more ...string) *process {
		return &process{name: name, args: []string{"sh", fleetScript, "run", name}, env: append(append([]string{}, env...), more...),
			log: filepath.Join(dir, name+".log")}
	}
	for i := range 3 {
		f.nats = append(f.nats, run(fmt.Sprint("nats", i)))
	}
	f.s3 = run("s3")
	store, err := f.proxied(f.at(s3Port))
	if err != nil {
		return f, err
	}
	for i := range 2 {
		f.urls = append(f.urls, "http://"+f.at(apiPort+i))
		f.apis = append(f.apis, run(fmt.Sprint("api", i), store))
	}
	for i := range o.workers {
		more := []string{store}
		if i == o.workers-1 {
			linked, err := f.linked()
			if err != nil {
				return f, err
			}
			more = append(more, linked)
		}
		f.workers = append(f.workers, run(fmt.Sprint("worker", i), more...))
	}
	for _, p := range f.all() {
		if err = p.start(); err != nil {
			return f, err
		}
	}
	if err = makeBucket(ctx, "http://"+f.at(s3Port)+"/pictures"); err != nil {
		return f, err
	}
	return f, f.ready(ctx)
}

// freePorts finds so many ports in a row at which nobody listens, and returns the first.
func freePorts(n int) (int, error) {
	for first := 20000; first < 32000; first += n {
		free := true
		for i := range n {
			l, err := net.Listen("tcp", fmt.Sprint("127.0.0.1:", first+i))
			if err == nil {
				err = l.Close()
			}
			free = free && err == nil
		}
		if free {
			return first, nil
		}
	}
	return 0, fmt.Errorf("there are no %d free ports in a row", n)
}

// proxied puts the proxy before the S3 server and returns STORE for the script.
func (f *fleet) proxied(s3 string) (string, error) {
	f.bucket.proxy = httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: s3})
	f.bucket.proxy.ErrorLog = log.New(io.Discard, "", 0) // clients go away when they are killed
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	go func() { _ = http.Serve(l, f.bucket) }() // it ends with this program
	return "STORE=s3://pictures?region=us-east-1&use_path_style=true&disable_https=true&endpoint=http://" + l.Addr().String(), nil
}

// linked puts links before the NATS servers and returns NATS for the script.
func (f *fleet) linked() (string, error) {
	var urls []string
	for i := range f.nats {
		k, err := newLink(f.at(i))
		if err != nil {
			return "", err
		}
		f.links = append(f.links, k)
		urls = append(urls, "nats://"+k.l.Addr().String())
	}
	return "NATS=" + strings.Join(urls, ","), nil
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

// ready waits until the API nodes know a model, and all workers.
func (f *fleet) ready(ctx context.Context) error {
	for _, u := range f.urls {
		for f.count(ctx, u) < len(f.workers) {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			time.Sleep(100 * time.Millisecond)
		}
	}
	return nil
}

// count is how many workers an API node knows.
func (f *fleet) count(ctx context.Context, url string) int {
	_, data, err := persist(ctx, "GET", url+"/v1/devices", nil, f.headers...)
	if err != nil {
		return 0
	}
	return strings.Count(string(data), `"id"`)
}

// healthy waits until a NATS server has caught up with the others.
func (f *fleet) healthy(ctx context.Context, i int) {
	for ctx.Err() == nil {
		status, _, _, err := call(ctx, "GET", "http://"+f.at(healthPort+i)+"/healthz", nil)
		if err == nil && status == http.StatusOK {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func (f *fleet) cut(cut bool) {
	for _, k := range f.links {
		k.set(cut)
	}
}

// logs reads what processes have logged.
func logs(list []*process) (text string, err error) {
	for _, p := range list {
		data, err := os.ReadFile(p.log)
		if err != nil {
			return "", err
		}
		text += string(data)
	}
	return text, nil
}
