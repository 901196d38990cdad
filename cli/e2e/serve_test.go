//go:build unix

package e2e

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// served is a daguerre serve process.
type served struct {
	t      *testing.T
	cmd    *exec.Cmd
	url    string
	client *http.Client
	log    lockedBuffer
}

// lockedBuffer is written by one goroutine and read by another.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// serve starts a server with nano and waits until it is ready. It ends with the test.
func serve(t *testing.T, env []string, flags ...string) *served {
	t.Helper()
	s := &served{t: t, client: http.DefaultClient}
	s.cmd = prepare(t, append([]string{"serve", "--addr", "127.0.0.1:0", "--json"}, flags...)...)
	s.cmd.Env = append(s.cmd.Environ(), env...)
	s.cmd.Stderr = &s.log
	s.cmd.Stdout = nil
	out, err := s.cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, s.cmd.Start())
	t.Cleanup(func() {
		_ = s.cmd.Process.Kill() // it may have ended
		_ = s.cmd.Wait()
		if t.Failed() {
			t.Logf("the server's log:\n%s", s.log.String())
		}
	})
	line, err := bufio.NewReader(out).ReadBytes('\n')
	require.NoError(t, err, s.log.String())
	var ready struct{ URL string }
	require.NoError(t, json.Unmarshal(line, &ready), "%s", line)
	s.url = ready.URL
	return s
}

// call makes a request; body is JSON, or nothing.
func (s *served) call(method, path, token, body string) (int, string) {
	s.t.Helper()
	req, err := http.NewRequest(method, s.url+path, strings.NewReader(body))
	require.NoError(s.t, err)
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := s.client.Do(req)
	require.NoError(s.t, err)
	defer func() { _ = res.Body.Close() }()
	data, err := io.ReadAll(res.Body)
	require.NoError(s.t, err)
	return res.StatusCode, string(data)
}

// submit submits a run and returns its id.
func (s *served) submit(token, body string) string {
	s.t.Helper()
	status, text := s.call("POST", "/v1/runs", token, body)
	require.Equal(s.t, 202, status, text)
	var run struct{ ID string }
	require.NoError(s.t, json.Unmarshal([]byte(text), &run))
	return run.ID
}

// tokenFile writes a file of tokens, one for each name.
func tokenFile(t *testing.T, path string, names ...string) {
	text := ""
	for _, name := range names {
		text += fmt.Sprintf("[[token]]\nname = %q\ntoken = %q\n", name, tokenOf(name))
	}
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
}

func tokenOf(name string) string { return name + "-0123456789abcdef" }

// certificate writes a certificate of 127.0.0.1 with a serial number, and its key.
func certificate(t *testing.T, certFile, keyFile string, serial int64) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := x509.Certificate{SerialNumber: big.NewInt(serial), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{{127, 0, 0, 1}}}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, &key.PublicKey, key)
	require.NoError(t, err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	require.NoError(t, os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600))
}

// TestServeTLSAndHangup serves by HTTPS, and reads tokens, certificate and models again at SIGHUP. What is wrong then changes nothing.
func TestServeTLSAndHangup(t *testing.T) {
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	certificate(t, in("cert.pem"), in("key.pem"), 1)
	tokenFile(t, in("tokens.toml"), "one")
	require.NoError(t, os.Mkdir(in("models"), 0o700))
	s := serve(t, nil, "--data", in("data"), "--token-file", in("tokens.toml"), "--tls-cert", in("cert.pem"), "--tls-key", in("key.pem"),
		"--model", "nano", "--model-dir", in("models"))
	require.True(t, strings.HasPrefix(s.url, "https://"), s.url)
	// The certificate is its own; what is looked at is which one it is.
	s.client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	serial := func() int64 {
		conn, err := tls.Dial("tcp", strings.TrimPrefix(s.url, "https://"), &tls.Config{InsecureSkipVerify: true})
		require.NoError(t, err)
		defer func() { _ = conn.Close() }()
		assert.GreaterOrEqual(t, conn.ConnectionState().Version, uint16(tls.VersionTLS12))
		return conn.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
	}
	status := func(name string) int {
		code, _ := s.call("GET", "/v1/runs", tokenOf(name), "")
		return code
	}
	hangup := func(says string) {
		before := strings.Count(s.log.String(), says)
		require.NoError(t, s.cmd.Process.Signal(syscall.SIGHUP))
		require.Eventually(t, func() bool { return strings.Count(s.log.String(), says) > before }, time.Minute, 10*time.Millisecond)
	}
	assert.Equal(t, []any{int64(1), 200, 401}, []any{serial(), status("one"), status("two")})
	_, err := tls.Dial("tcp", strings.TrimPrefix(s.url, "https://"), &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS11})
	require.Error(t, err, "old versions of TLS are refused")
	tokenFile(t, in("tokens.toml"), "two")
	certificate(t, in("cert.pem"), in("key.pem"), 2)
	hangup("were read again")
	assert.Equal(t, []any{int64(2), 401, 200}, []any{serial(), status("one"), status("two")})
	require.NoError(t, os.WriteFile(in("tokens.toml"), []byte("[[token]]\nname = \"x\"\n"), 0o600))
	certificate(t, in("cert.pem"), in("key.pem"), 3)
	hangup("nothing is changed")
	assert.Equal(t, []any{int64(2), 401, 200}, []any{serial(), status("one"), status("two")})
	assert.NotContains(t, s.log.String(), tokenOf("two"), "tokens are in no log")
}

// TestServeTraces sends traces of requests to a collector.
func TestServeTraces(t *testing.T) {
	traces := make(chan []byte, 100)
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		data, _ := io.ReadAll(r.Body)
		if r.URL.Path == "/v1/traces" {
			traces <- data
		}
	}))
	defer collector.Close()
	s := serve(t, []string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + collector.URL, "OTEL_EXPORTER_OTLP_COMPRESSION=none",
		"OTEL_BSP_SCHEDULE_DELAY=50"}, "--data", t.TempDir())
	code, _ := s.call("GET", "/v1/catalog/models", "", "")
	require.Equal(t, 200, code)
	for deadline := time.After(time.Minute); ; {
		select {
		case data := <-traces:
			if bytes.Contains(data, []byte("/v1/catalog/models")) {
				assert.Contains(t, string(data), "daguerre")
				return
			}
		case <-deadline:
			t.Fatal("no trace of the request came")
		}
	}
}

// TestServeDrains ends a server by SIGTERM while runs are made and wait: it ends by itself, and the next one has every picture.
func TestServeDrains(t *testing.T) {
	dir := t.TempDir()
	s := serve(t, nil, "--data", dir)
	var ids []string
	for i := range 6 {
		ids = append(ids, s.submit("", fmt.Sprintf(`{"prompt": "a red circle", "seed": %d, "num_images": 3, "num_inference_steps": 6}`, i)))
	}
	require.NoError(t, s.cmd.Process.Signal(syscall.SIGTERM))
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- s.cmd.Wait() }()
	select {
	case err := <-ended:
		require.NoError(t, err, s.log.String())
	case <-ctx.Done():
		t.Fatal("the server does not end")
	}
	next := serve(t, nil, "--data", dir)
	for _, id := range ids {
		code, text := next.call("GET", "/v1/runs/"+id+"/events", "", "")
		require.Equal(t, 200, code, text)
		_, text = next.call("GET", "/v1/runs/"+id, "", "")
		var run struct {
			State    string
			Pictures []any
		}
		require.NoError(t, json.Unmarshal([]byte(text), &run))
		assert.Equal(t, "done", run.State)
		assert.Len(t, run.Pictures, 3)
	}
}

// TestMetricsListenerUnderIdleConnections leaves hundreds of connections to generate's --metrics-addr idle: it goes on answering, and the
// run ends as it should.
func TestMetricsListenerUnderIdleConnections(t *testing.T) {
	dir := t.TempDir()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := l.Addr().String()
	require.NoError(t, l.Close())
	cmd := prepare(t, "generate", "-m", "nano", "-p", "a red circle", "--steps", "1000", "-n", "4", "-o", filepath.Join(dir, "{index}.png"),
		"--metrics-addr", addr)
	require.NoError(t, cmd.Start())
	defer func() {
		_ = cmd.Process.Kill() // it may have ended
		_ = cmd.Wait()
	}()
	var conns []net.Conn
	defer func() {
		for _, c := range conns {
			_ = c.Close()
		}
	}()
	require.Eventually(t, func() bool {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			conns = append(conns, c)
		}
		return err == nil
	}, time.Minute, 10*time.Millisecond)
	for i := range 400 {
		c, err := net.Dial("tcp", addr)
		require.NoError(t, err)
		conns = append(conns, c)
		_, _ = c.Write([]byte([]string{"", "GET /met", "GET /metrics HTTP/1.1\r\nHost: x\r\nA: "}[i%3])) // it may be closed already
	}
	res, err := http.Get("http://" + addr + "/metrics")
	require.NoError(t, err)
	text, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	assert.Contains(t, string(text), "daguerre_images_queued")
	files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", cmd.Process.Pid))
	if err == nil { // where there is /proc
		assert.Less(t, len(files), 150, "idle connections do not use up the open files")
	}
}
