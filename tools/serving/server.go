//go:build unix

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// server is a daguerre serve process.
type server struct {
	url  string
	cmd  *exec.Cmd
	done chan struct{}
}

// freeAddress is an address at which nobody listens, for a server that comes back at the same one.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// anyAddress has the server choose a port, which it tells when it is ready.
const anyAddress = "127.0.0.1:0"

// start starts a server and waits until it is ready.
func start(ctx context.Context, o options, addr string) (*server, error) {
	log, err := os.OpenFile(filepath.Join(o.dir, "log"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }() // the child has it
	args := append([]string{"serve", "--addr", addr, "--data", filepath.Join(o.dir, "data"), "--json"}, o.serveArgs()...)
	cmd := exec.CommandContext(ctx, o.program, args...)
	cmd.Stderr = log
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	s := &server{cmd: cmd, done: make(chan struct{})}
	line, err := bufio.NewReader(out).ReadBytes('\n')
	go func() {
		defer close(s.done)
		_, _ = io.Copy(io.Discard, out)
		_ = cmd.Wait() // it is killed
	}()
	var ready struct{ URL string }
	if err != nil || json.Unmarshal(line, &ready) != nil || ready.URL == "" {
		s.kill()
		text, _ := os.ReadFile(log.Name())
		return nil, fmt.Errorf("the server does not start: %s%.2000s", line, text[max(0, len(text)-2000):])
	}
	s.url = ready.URL
	return s, nil
}

// kill kills the server at once.
func (s *server) kill() {
	_ = s.cmd.Process.Kill() // it may have ended
	<-s.done
}

// stop ends the server in order.
func (s *server) stop() {
	_ = s.cmd.Process.Signal(os.Interrupt)
	<-s.done
}

// rss is the server's memory in bytes; 0 where the system does not tell.
func (s *server) rss() int64 {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", s.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	var size, resident int64
	_, _ = fmt.Sscan(string(data), &size, &resident)
	return resident * int64(os.Getpagesize())
}

// client has a connection for each of many clients.
var client = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 1000, MaxConnsPerHost: 1000}}

// call makes a request and reads its answer.
func call(ctx context.Context, method, url string, body any, headers ...string) (status int, data []byte, h http.Header, err error) {
	var r io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return 0, nil, nil, err
		}
		r = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, method, url, r)
	if err != nil {
		return 0, nil, nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := client.Do(req)
	if err != nil {
		return 0, nil, nil, err
	}
	defer func() { _ = res.Body.Close() }() // it was read
	data, err = io.ReadAll(res.Body)
	return res.StatusCode, data, res.Header, err
}

// persist makes a request until the server answers it: it may be dead at the moment.
func persist(ctx context.Context, method, url string, body any, headers ...string) (status int, data []byte, err error) {
	for {
		status, data, _, err = call(ctx, method, url, body, headers...)
		if err == nil && status < 500 && status != http.StatusTooManyRequests {
			return status, data, nil
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return status, data, ctx.Err()
		}
	}
}

// answered is a run as the server tells of it.
type answered struct {
	ID       string
	State    string
	Images   int
	Made     int
	Failed   int
	Attempt  int
	Error    *struct{ Code, Message string }
	Pictures []struct {
		Job, Index int
		SHA256     string `json:"sha256"`
		URL        string
	}
}
