package listen

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// start serves "hello" and returns the address.
func start(t *testing.T, o Options) (*Server, string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s := New(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("hello")) }), o)
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() {
		assert.NoError(t, s.Close())
		assert.NoError(t, <-done)
	})
	return s, l.Addr().String()
}

func dial(t *testing.T, addr, send string) net.Conn {
	c, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	_, err = c.Write([]byte(send))
	require.NoError(t, err)
	return c
}

// answers makes a request on a connection of its own.
func answers(t *testing.T, addr string) {
	c := dial(t, addr, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	require.NoError(t, c.SetReadDeadline(time.Now().Add(30*time.Second)))
	line, err := bufio.NewReader(c).ReadString('\n')
	require.NoError(t, err)
	assert.Contains(t, line, "200")
}

// closed waits until the server closes a connection.
func closed(t *testing.T, c net.Conn) {
	require.NoError(t, c.SetReadDeadline(time.Now().Add(30*time.Second)))
	for b := make([]byte, 512); ; {
		if _, err := c.Read(b); err != nil {
			assert.False(t, strings.Contains(err.Error(), "timeout"), "the server holds the connection")
			return
		}
	}
}

// TestIdleConnectionsGiveWay opens far more connections than there is room for: the server goes on answering, whatever they have sent.
func TestIdleConnectionsGiveWay(t *testing.T) {
	for name, sent := range map[string]string{"nothing": "", "half of the headers": "GET / HTTP/1.1\r\nHost:",
		"a request": "GET / HTTP/1.1\r\nHost: x\r\n\r\n"} {
		t.Run(name, func(t *testing.T) {
			s, addr := start(t, Options{Connections: 8, Header: time.Hour, Idle: time.Hour})
			var all []net.Conn
			for range 40 {
				all = append(all, dial(t, addr, sent))
				answers(t, addr)
			}
			closed(t, all[0])
			assert.LessOrEqual(t, s.Connections(), 8)
		})
	}
}

// TestSlowHeadersEnd sends a request byte by byte, and then no more.
func TestSlowHeadersEnd(t *testing.T) {
	_, addr := start(t, Options{Header: 50 * time.Millisecond, Idle: 50 * time.Millisecond})
	closed(t, dial(t, addr, ""))
	closed(t, dial(t, addr, "GET / HT"))
	closed(t, dial(t, addr, fmt.Sprintf("GET / HTTP/1.1\r\nHost: x\r\nA: %s", strings.Repeat("a", 1000))))
	closed(t, dial(t, addr, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"))
	answers(t, addr)
}
