package worker

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/runtime/backend/fake"
)

// TestControlMapsAreCounted: requests for control maps are in the queue and under its limit, and one is computed at a time, so that many
// large pictures do not fill the memory.
func TestControlMapsAreCounted(t *testing.T) {
	const side, n = 1200, 14
	var file bytes.Buffer
	require.NoError(t, png.Encode(&file, image.NewGray(image.Rect(0, 0, side, side))))
	data := "data:image/png;base64," + base64.StdEncoding.EncodeToString(file.Bytes())
	o := fakeOptions(&fake.Backend{})
	o.Limit = n - 4
	c := start(t, o)
	runtime.GC() // of what other tests left
	peak := make(chan uint64)
	over := make(chan struct{})
	go func() {
		var most uint64
		var m runtime.MemStats
		for {
			runtime.ReadMemStats(&m)
			most = max(most, m.HeapInuse)
			select {
			case <-over:
				peak <- most
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	}()
	var lines strings.Builder // in one piece, so that nothing of it comes late
	for i := range n {
		fmt.Fprintf(&lines, `{"id":"%d","type":"controlnet","request":{"image":"%s","preprocessor":"invert","width":64,"height":64}}`+"\n", i,
			data)
	}
	c.send(lines.String()+`{"id":"one","type":"cancel","request":{"target":"5"}}`, `{"id":"list","type":"controlnet"}`,
		`{"id":"status","type":"status"}`)
	assert.Equal(t, "done", c.last("status")["event"], "it is always answered")
	assert.Equal(t, "done", c.last("list")["event"], "what computes nothing is not counted")
	ends := map[any]int{}
	for i := range n {
		e := c.last(fmt.Sprint(i))
		ends[fmt.Sprint(e["event"], e["code"])]++
	}
	close(over)
	most := <-peak
	assert.Less(t, most, uint64(64<<20), "heap in use")
	t.Logf("heap in use: at most %d MiB", most>>20)
	assert.Equal(t, 1, ends["errorcancelled"], ends)
	assert.GreaterOrEqual(t, ends["errorqueue_full"], 2, ends)
	assert.Equal(t, n, ends["errorcancelled"]+ends["errorqueue_full"]+ends["done<nil>"], ends)
	assert.Equal(t, []string{"accepted", "started", "done"}, names(c.of("0")))
}

// TestControlMapOfAnAnimation: that its first picture is taken is told in an event, whether the file is named or in the request.
func TestControlMapOfAnAnimation(t *testing.T) {
	c := start(t, fakeOptions(&fake.Backend{}))
	formats := filepath.Join("..", "..", "..", "internal", "picture", "testdata", "formats")
	for _, name := range []string{"animated.gif", "animated.png", "animated.webp", "grey.png"} {
		path := filepath.Join(formats, name)
		data, err := os.ReadFile(path)
		require.NoError(t, err)
		for how, input := range map[string]string{"path": path, "base64": "data:;base64," + base64.StdEncoding.EncodeToString(data)} {
			id := name + how
			c.send(object{"id": id, "type": "controlnet", "request": object{"image": input, "preprocessor": "invert"}})
			require.Equal(t, "done", c.last(id)["event"], "%s: %v", id, c.last(id)["message"])
			events := c.of(id)
			if name == "grey.png" {
				assert.Equal(t, []string{"accepted", "started", "done"}, names(events), id)
				continue
			}
			assert.Equal(t, []string{"accepted", "started", "warning", "done"}, names(events), id)
			assert.Equal(t, "image: the file is an animation; its first picture is used", events[2]["message"], id)
		}
	}
}
