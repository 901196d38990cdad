package serve_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"image"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/cli/internal/serve/servetest"
	"github.com/daguerre-go/daguerre/internal/imagefile"
)

// long is far more than anything here takes.
const long = time.Minute

// client talks to a server as a program would.
type client struct {
	t     *testing.T
	url   string
	token string
}

func of(t *testing.T, s *servetest.Server) *client { return &client{t: t, url: s.URL} }

func (c *client) as(token string) *client { return &client{c.t, c.url, token} }

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// table reads the body as a JSON object.
func (a answer) table(t *testing.T) map[string]any {
	var out map[string]any
	require.NoError(t, json.Unmarshal(a.body, &out), string(a.body))
	return out
}

// do makes a request; body is a text, bytes, or what becomes JSON. headers are pairs.
func (c *client) do(method, path string, body any, headers ...string) answer {
	c.t.Helper()
	var r io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		r = strings.NewReader(b)
	case []byte:
		r = bytes.NewReader(b)
	default:
		data, err := json.Marshal(b)
		require.NoError(c.t, err)
		r = bytes.NewReader(data)
	}
	ctx, cancel := context.WithTimeout(context.Background(), long)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, c.url+path, r)
	require.NoError(c.t, err)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Host" {
			req.Host = headers[i+1]
		}
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	require.NoError(c.t, err)
	defer func() { _ = res.Body.Close() }()
	data, err := io.ReadAll(res.Body)
	require.NoError(c.t, err)
	return answer{res.StatusCode, res.Header, data}
}

// submit submits a run and returns its id.
func (c *client) submit(body any, query ...string) string {
	c.t.Helper()
	a := c.do("POST", "/v1/runs?"+strings.Join(query, "&"), body)
	require.Equal(c.t, 202, a.status, string(a.body))
	return a.table(c.t)["id"].(string)
}

// event is a server-sent event.
type event struct {
	id, name string
	data     map[string]any
}

// follow reads a run's events to their end.
func (c *client) follow(id string, headers ...string) (list []event) {
	c.t.Helper()
	a := c.do("GET", "/v1/runs/"+id+"/events", nil, headers...)
	if a.status == 204 {
		return nil
	}
	require.Equal(c.t, 200, a.status, string(a.body))
	require.Equal(c.t, "text/event-stream", a.header.Get("Content-Type"))
	var e event
	for lines := bufio.NewScanner(bytes.NewReader(a.body)); lines.Scan(); {
		key, value, _ := strings.Cut(lines.Text(), ": ")
		switch key {
		case "id":
			e.id = value
		case "event":
			e.name = value
		case "data":
			require.NoError(c.t, json.Unmarshal([]byte(value), &e.data))
		case "":
			if e.name != "" {
				list = append(list, e)
			}
			e = event{}
		}
	}
	return list
}

// end follows a run and returns its last event.
func (c *client) end(id string) event {
	c.t.Helper()
	list := c.follow(id)
	require.NotEmpty(c.t, list)
	return list[len(list)-1]
}

// kept are the names of the events that have an id.
func kept(list []event) (names []string) {
	for _, e := range list {
		if e.id != "" {
			names = append(names, e.name)
		}
	}
	return names
}

func pictureURL(id string, job, index int) string {
	return fmt.Sprintf("/v1/runs/%s/pictures/%d/%d", id, job, index)
}

// pngFile is a small picture.
func pngFile(t *testing.T) []byte {
	data, err := imagefile.Encode(image.NewNRGBA(image.Rect(0, 0, 64, 64)), imagefile.PNG, imagefile.EncodeOptions{})
	require.NoError(t, err)
	return data
}
