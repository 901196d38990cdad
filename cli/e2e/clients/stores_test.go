package clients

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/rclone/gofakes3"
	"github.com/rclone/gofakes3/s3mem"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// call makes a request of the own API.
func call(t *testing.T, method, url string, body any) (int, []byte) {
	t.Helper()
	data, err := json.Marshal(body)
	require.NoError(t, err)
	req, err := http.NewRequestWithContext(t.Context(), method, url, bytes.NewReader(data))
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer "+token)
	res, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer func() { _ = res.Body.Close() }()
	out, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return res.StatusCode, out
}

// answered is a run.
type answered struct {
	ID, State string
	Pictures  []struct{ URL, SHA256 string }
}

// submit submits runs of two pictures, and returns their ids.
func submit(t *testing.T, url string, n, steps int) (ids []string) {
	t.Helper()
	for i := range n {
		status, data := call(t, "POST", url+"/v1/runs", map[string]any{"prompt": "a red circle", "seed": 10 * i, "num_images": 2,
			"num_inference_steps": steps})
		require.Equal(t, 202, status, string(data))
		var run answered
		require.NoError(t, json.Unmarshal(data, &run))
		ids = append(ids, run.ID)
	}
	return ids
}

// finished waits for a run, and fetches its pictures.
func finished(t *testing.T, url, id string) answered {
	t.Helper()
	var run answered
	require.Eventually(t, func() bool {
		status, data := call(t, "GET", url+"/v1/runs/"+id, nil)
		require.Equal(t, 200, status, string(data))
		run = answered{}
		require.NoError(t, json.Unmarshal(data, &run))
		return run.State != "queued" && run.State != "running"
	}, 3*time.Minute, 100*time.Millisecond)
	require.Equal(t, "done", run.State)
	require.Len(t, run.Pictures, 2)
	for _, p := range run.Pictures {
		status, data := call(t, "GET", url+p.URL, nil)
		require.Equal(t, 200, status)
		sum := sha256.Sum256(data)
		assert.Equal(t, p.SHA256, hex.EncodeToString(sum[:]))
	}
	return run
}

// look has nats-py look at what a server keeps: so many runs, none of which waits.
func look(t *testing.T, url string, runs int) {
	t.Helper()
	require.NotEmpty(t, python, "make test-serve-clients sets DAGUERRE_CLIENTS_PYTHON")
	out, err := exec.CommandContext(t.Context(), python, "nats_client.py", url, fmt.Sprint(runs)).CombinedOutput()
	require.NoError(t, err, string(out))
}

// TestExternalNATS has two servers share a NATS server and a folder. One is killed: the other makes its runs.
func TestExternalNATS(t *testing.T) {
	queue, err := server.NewServer(&server.Options{JetStream: true, StoreDir: t.TempDir(), SyncAlways: true, Port: server.RANDOM_PORT,
		Host: "127.0.0.1", NoSigs: true, MaxPayload: 8 << 20})
	require.NoError(t, err)
	go queue.Start()
	require.True(t, queue.ReadyForConnections(time.Minute))
	t.Cleanup(queue.Shutdown)
	store := t.TempDir()
	one := start(t, nil, "--nats", queue.ClientURL(), "--store", store, "--data", t.TempDir())
	ids := submit(t, one.url, 6, 60)
	two := start(t, nil, "--nats", queue.ClientURL(), "--store", store, "--data", t.TempDir())
	one.kill()
	for _, id := range ids {
		finished(t, two.url, id)
	}
	look(t, queue.ClientURL(), len(ids))
}

// TestEmbeddedNATS looks at the streams of the embedded server.
func TestEmbeddedNATS(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := l.Addr().String()
	require.NoError(t, l.Close())
	p := start(t, nil, "--data", t.TempDir(), "--nats-listen", addr)
	for _, id := range submit(t, p.url, 3, 4) {
		finished(t, p.url, id)
	}
	look(t, "nats://"+addr, 3)
}

// TestS3 keeps pictures in a bucket. They are there after a kill, and gone after their run was deleted.
func TestS3(t *testing.T) {
	backend := s3mem.New()
	require.NoError(t, backend.CreateBucket(t.Context(), "pictures"))
	s3 := httptest.NewServer(gofakes3.New(backend).Server())
	defer s3.Close()
	env := []string{"AWS_ACCESS_KEY_ID=x", "AWS_SECRET_ACCESS_KEY=y", "AWS_EC2_METADATA_DISABLED=true"}
	bucket := "s3://pictures?region=us-east-1&use_path_style=true&endpoint=" + s3.URL
	data := t.TempDir()
	p := start(t, env, "--data", data, "--store", bucket)
	ids := submit(t, p.url, 4, 20)
	finished(t, p.url, ids[0])
	p.kill()
	p = start(t, env, "--data", data, "--store", bucket)
	objects := func(prefix string) (n int) {
		list, err := backend.ListBucket(t.Context(), "pictures", nil, gofakes3.ListBucketPage{})
		require.NoError(t, err)
		for _, o := range list.Contents {
			if strings.HasPrefix(o.Key, prefix) {
				n++
			}
		}
		return n
	}
	for _, id := range ids {
		finished(t, p.url, id)
		assert.Equal(t, 2, objects("pictures/clients/"+id+"/"), "each picture is there once")
	}
	status, _ := call(t, "DELETE", p.url+"/v1/runs/"+ids[0], nil)
	assert.Equal(t, 204, status)
	assert.Zero(t, objects("pictures/clients/"+ids[0]+"/"))
	assert.Equal(t, 6, objects("pictures/"))
}
