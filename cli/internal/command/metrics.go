package command

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/daguerre-go/daguerre/cli/internal/listen"
	"github.com/daguerre-go/daguerre/internal/machine"
	"github.com/daguerre-go/daguerre/internal/queue"
	"github.com/daguerre-go/daguerre/runtime/backend"
)

// processMemory measures this process for the batch manager. There is no limit in it: budgets are a plan's business.
func processMemory() queue.Usage { return queue.Usage{Used: machine.RSS()} }

// metricsServer serves a run's state in Prometheus' text format.
type metricsServer struct {
	g        *generation
	memory   *machine.Sampler
	server   *listen.Server
	listener net.Listener
	ended    chan struct{}
}

// serveMetrics begins to serve at the address that the session names; the caller closes it.
func serveMetrics(g *generation) (*metricsServer, error) {
	l, err := net.Listen("tcp", g.session.metrics)
	if err != nil {
		return nil, usagef("daguerre generate", "--metrics-addr: %v", err)
	}
	m := &metricsServer{g: g, memory: machine.NewSampler(nil, 0), listener: l, ended: make(chan struct{})}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		m.write(r.Context(), w)
	})
	m.server = listen.New(mux, listen.Options{Connections: metricsConnections})
	go func() {
		defer close(m.ended)
		_ = m.server.Serve(l) // ends with close
	}()
	return m, nil
}

// metricsConnections is enough for those who ask for numbers, and leaves the other open files to the run.
const metricsConnections = 32

func (m *metricsServer) close() {
	_ = m.server.Close()
	<-m.ended
	m.memory.Close()
}

// families are those of Prometheus' text format, https://prometheus.io/docs/instrumenting/exposition_formats/
var families = []struct{ name, kind, help string }{
	{"images_total", "counter", "Pictures that have ended, by outcome."},
	{"images_queued", "gauge", "Pictures that wait."},
	{"images_running", "gauge", "Pictures that are being computed."},
	{"images_per_second", "gauge", "Pictures finished a second, averaged over half a minute."},
	{"steps_total", "counter", "Denoising steps of all pictures."},
	{"steps_per_second", "gauge", "Denoising steps of all pictures a second, averaged over half a minute."},
	{"eta_seconds", "gauge", "Until everything that is queued is done, by the speed so far."},
	{"batches_total", "counter", "Batches that have ended."},
	{"retries_total", "counter", "Pictures put back into the queue."},
	{"out_of_memory_total", "counter", "Times that memory ran out."},
	{"batch_size", "gauge", "Pictures in the running batch."},
	{"batch_size_chosen", "gauge", "Size of the next full batch of each kind of pictures, and why it is that."},
	{"batch_seconds_per_image", "gauge", "Least time measured a picture, by kind and size of batch."},
	{"device_megapixel_steps_per_second", "gauge", "Measured speed of each device."},
	{"process_resident_bytes", "gauge", "Memory of this process."},
	{"process_resident_peak_bytes", "gauge", "Highest memory of this process since the run began."},
	{"ram_bytes", "gauge", "The machine's memory."},
	{"stage_resident_peak_bytes", "gauge", "Highest memory of this process while a stage ran."},
	{"device_memory_bytes", "gauge", "Memory of each device."},
	{"native_bytes", "gauge", "Memory that the model holds, by component; compute buffers and adapters are components of their own."},
	{"native_peak_bytes", "gauge", "Highest of native_bytes since the model was opened."},
	{"text_cache_requests_total", "counter", "Encoded prompts asked for, by whether they were remembered."},
}

// samples are the values of each family.
type samples map[string][]sample

type sample struct {
	labels []string // name, value, name, value, ...
	value  float64
}

func (s samples) add(family string, value float64, labels ...string) {
	s[family] = append(s[family], sample{labels, value})
}

// distinct orders a family's values by their labels, and keeps one of those that have the same.
func (s samples) distinct(family string) {
	list := s[family]
	slices.SortStableFunc(list, func(a, b sample) int { return slices.Compare(a.labels, b.labels) })
	s[family] = slices.CompactFunc(list, func(a, b sample) bool { return slices.Equal(a.labels, b.labels) })
}

var escapeLabel = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

func (s samples) write(w io.Writer) {
	for _, f := range families {
		for i, x := range s[f.name] {
			if i == 0 {
				fmt.Fprintf(w, "# HELP daguerre_%s %s\n# TYPE daguerre_%s %s\n", f.name, f.help, f.name, f.kind)
			}
			text := ""
			for pair := range slices.Chunk(x.labels, 2) {
				text += "," + pair[0] + `="` + escapeLabel.Replace(pair[1]) + `"`
			}
			if text != "" {
				text = "{" + text[1:] + "}"
			}
			fmt.Fprintf(w, "daguerre_%s%s %s\n", f.name, text, number(x.value))
		}
	}
}

// write writes all metrics as they are now.
func (m *metricsServer) write(ctx context.Context, w io.Writer) {
	s, out := m.g.snapshot(), samples{}
	out.add("images_total", float64(s.Finished), "outcome", "finished")
	out.add("images_total", float64(s.Failed-s.Cancelled), "outcome", "failed")
	out.add("images_total", float64(s.Cancelled), "outcome", "cancelled")
	for name, value := range map[string]float64{"images_queued": float64(s.Queued), "images_running": float64(s.Running),
		"images_per_second": s.ImagesPerSec, "steps_total": float64(s.Steps), "steps_per_second": s.StepsPerSec,
		"eta_seconds": s.ETA.Seconds(), "batches_total": float64(s.Batches), "retries_total": float64(s.Retried),
		"out_of_memory_total": float64(s.OutOfMemory)} {
		out.add(name, value)
	}
	for _, w := range s.Workers {
		out.add("batch_size", float64(w.Size), "device", w.Name)
		out.add("device_megapixel_steps_per_second", w.Speed, "device", w.Name)
		for _, k := range w.Sizes {
			out.add("batch_size_chosen", float64(k.Size), "device", w.Name, "kind", k.Label, "why", k.Why)
			for _, n := range slices.Sorted(maps.Keys(k.Seconds)) {
				out.add("batch_seconds_per_image", k.Seconds[n], "device", w.Name, "kind", k.Label, "size", strconv.Itoa(n))
			}
		}
	}
	// Kinds that differ in more than their label says must not be told twice under the same labels.
	out.distinct("batch_size_chosen")
	out.distinct("batch_seconds_per_image")
	m.memories(ctx, out)
	var hits, misses int64
	for _, pipe := range m.g.pipes {
		h, s := pipe.TextCacheStats()
		hits, misses = hits+h, misses+s
	}
	out.add("text_cache_requests_total", float64(hits), "result", "hit")
	out.add("text_cache_requests_total", float64(misses), "result", "miss")
	out.write(w)
}

// memories tells of the process, the machine, the devices and the model.
func (m *metricsServer) memories(ctx context.Context, out samples) {
	now, peak, stages := m.memory.Peaks()
	out.add("process_resident_bytes", float64(now))
	out.add("process_resident_peak_bytes", float64(peak))
	total, available := machine.RAM()
	out.add("ram_bytes", float64(total), "state", "total")
	out.add("ram_bytes", float64(available), "state", "available")
	for _, name := range slices.Sorted(maps.Keys(stages)) {
		out.add("stage_resident_peak_bytes", float64(stages[name]), "stage", name)
	}
	devices, _ := m.g.env.Native.Devices(ctx) // without them the rest is told
	for _, d := range devices {
		out.add("device_memory_bytes", float64(d.TotalBytes), "device", d.ID, "state", "total")
		out.add("device_memory_bytes", float64(d.FreeBytes), "device", d.ID, "state", "free")
	}
	var models []backend.MemoryStats // of each device: the base, then the refiner and what else is open
	for _, pipe := range m.g.pipes {
		models = append(models, pipe.MemoryStats()...)
	}
	for i, stats := range models {
		add := func(component string, now, peak int64) {
			out.add("native_bytes", float64(now), "model", strconv.Itoa(i), "component", component)
			out.add("native_peak_bytes", float64(peak), "model", strconv.Itoa(i), "component", component)
		}
		for _, c := range stats.Components {
			add(c.Name, c.Weights+c.Host, c.WeightsPeak+c.HostPeak)
		}
		add("compute", stats.Compute, stats.ComputePeak)
		add("adapters", stats.Adapters, stats.AdaptersPeak)
	}
}
