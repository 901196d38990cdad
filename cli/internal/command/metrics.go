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
	"time"

	"github.com/daguerre-go/daguerre/internal/machine"
	"github.com/daguerre-go/daguerre/internal/queue"
)

// processMemory measures this process for the batch manager. There is no limit in it: budgets are a plan's business.
func processMemory() queue.Usage { return queue.Usage{Used: machine.RSS()} }

// metricsServer serves a run's state in Prometheus' text format.
type metricsServer struct {
	g      *generation
	memory *machine.Sampler
	server *http.Server
	listen net.Listener
	ended  chan struct{}
}

// serveMetrics begins to serve at the address that the session names; the caller closes it.
func serveMetrics(g *generation) (*metricsServer, error) {
	l, err := net.Listen("tcp", g.session.metrics)
	if err != nil {
		return nil, usagef("daguerre generate", "--metrics-addr: %v", err)
	}
	m := &metricsServer{g: g, memory: machine.NewSampler(nil, 0), listen: l, ended: make(chan struct{})}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		m.write(r.Context(), w)
	})
	m.server = &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	go func() {
		defer close(m.ended)
		_ = m.server.Serve(l) // ends with close
	}()
	return m, nil
}

func (m *metricsServer) address() string { return m.listen.Addr().String() }

func (m *metricsServer) close() {
	_ = m.server.Close()
	<-m.ended
	m.memory.Close()
}

// metric is one family of Prometheus' text format, https://prometheus.io/docs/instrumenting/exposition_formats/
type metric struct {
	name, kind, help string
	samples          []sample
}

type sample struct {
	labels []string // name, value, name, value, ...
	value  float64
}

func (f metric) write(w io.Writer) {
	if len(f.samples) == 0 {
		return
	}
	fmt.Fprintf(w, "# HELP daguerre_%s %s\n# TYPE daguerre_%s %s\n", f.name, f.help, f.name, f.kind)
	for _, s := range f.samples {
		var labels []string
		for i := 0; i+1 < len(s.labels); i += 2 {
			labels = append(labels, s.labels[i]+`="`+escapeLabel.Replace(s.labels[i+1])+`"`)
		}
		text := ""
		if len(labels) > 0 {
			text = "{" + strings.Join(labels, ",") + "}"
		}
		fmt.Fprintf(w, "daguerre_%s%s %s\n", f.name, text, number(s.value))
	}
}

var escapeLabel = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

func one(value float64, labels ...string) []sample { return []sample{{labels, value}} }

// write writes all metrics as they are now.
func (m *metricsServer) write(ctx context.Context, w io.Writer) {
	s := m.g.snapshot()
	families := []metric{
		{"images_total", "counter", "Pictures that have ended, by outcome.", []sample{{[]string{"outcome", "finished"}, float64(s.Finished)},
			{[]string{"outcome", "failed"}, float64(s.Failed - s.Cancelled)}, {[]string{"outcome", "cancelled"}, float64(s.Cancelled)}}},
		{"images_queued", "gauge", "Pictures that wait.", one(float64(s.Queued))},
		{"images_running", "gauge", "Pictures that are being computed.", one(float64(s.Running))},
		{"images_per_second", "gauge", "Pictures finished a second, averaged over half a minute.", one(s.ImagesPerSec)},
		{"steps_total", "counter", "Denoising steps of all pictures.", one(float64(s.Steps))},
		{"steps_per_second", "gauge", "Denoising steps of all pictures a second, averaged over half a minute.", one(s.StepsPerSec)},
		{"eta_seconds", "gauge", "Until everything that is queued is done, by the speed so far.", one(s.ETA.Seconds())},
		{"batches_total", "counter", "Batches that have ended.", one(float64(s.Batches))},
		{"retries_total", "counter", "Pictures put back into the queue.", one(float64(s.Retried))},
		{"out_of_memory_total", "counter", "Times that memory ran out.", one(float64(s.OutOfMemory))},
	}
	families = append(families, m.workers(s)...)
	families = append(families, m.memories(ctx)...)
	hits, misses := m.g.pipe.TextCacheStats()
	families = append(families, metric{"text_cache_requests_total", "counter", "Encoded prompts asked for, by whether they were remembered.",
		[]sample{{[]string{"result", "hit"}, float64(hits)}, {[]string{"result", "miss"}, float64(misses)}}})
	for _, f := range families {
		f.write(w)
	}
}

// workers tells of each device.
func (m *metricsServer) workers(s queue.Snapshot) []metric {
	size := metric{"batch_size", "gauge", "Pictures in the running batch.", nil}
	chosen := metric{"batch_size_chosen", "gauge", "Size of the next full batch of each kind of pictures, and why it is that.", nil}
	seconds := metric{"batch_seconds_per_image", "gauge", "Least time measured a picture, by kind and size of batch.", nil}
	speed := metric{"device_megapixel_steps_per_second", "gauge", "Measured speed of each device.", nil}
	for _, w := range s.Workers {
		size.samples = append(size.samples, sample{[]string{"device", w.Name}, float64(w.Size)})
		speed.samples = append(speed.samples, sample{[]string{"device", w.Name}, w.Speed})
		for _, k := range w.Sizes {
			chosen.samples = append(chosen.samples, sample{[]string{"device", w.Name, "kind", k.Label, "why", k.Why}, float64(k.Size)})
			for _, n := range slices.Sorted(maps.Keys(k.Seconds)) {
				seconds.samples = append(seconds.samples, sample{[]string{"device", w.Name, "kind", k.Label, "size", strconv.Itoa(n)}, k.Seconds[n]})
			}
		}
	}
	// Kinds that differ in more than their label says must not be told twice under the same labels.
	chosen.samples = distinct(chosen.samples)
	seconds.samples = distinct(seconds.samples)
	return []metric{size, chosen, seconds, speed}
}

func distinct(samples []sample) []sample {
	slices.SortStableFunc(samples, func(a, b sample) int { return slices.Compare(a.labels, b.labels) })
	return slices.CompactFunc(samples, func(a, b sample) bool { return slices.Equal(a.labels, b.labels) })
}

// memories tells of the process, the machine, the devices and the model.
func (m *metricsServer) memories(ctx context.Context) []metric {
	now, peak, stages := m.memory.Peaks()
	total, available := machine.RAM()
	out := []metric{
		{"process_resident_bytes", "gauge", "Memory of this process.", one(float64(now))},
		{"process_resident_peak_bytes", "gauge", "Highest memory of this process since the run began.", one(float64(peak))},
		{"ram_bytes", "gauge", "The machine's memory.", []sample{{[]string{"state", "total"}, float64(total)}, {[]string{"state", "available"},
			float64(available)}}},
	}
	stage := metric{"stage_resident_peak_bytes", "gauge", "Highest memory of this process while a stage ran.", nil}
	for _, name := range slices.Sorted(maps.Keys(stages)) {
		stage.samples = append(stage.samples, sample{[]string{"stage", name}, float64(stages[name])})
	}
	device := metric{"device_memory_bytes", "gauge", "Memory of each device.", nil}
	if devices, err := m.g.env.Native.Devices(ctx); err == nil {
		for _, d := range devices {
			device.samples = append(device.samples, sample{[]string{"device", d.ID, "state", "total"}, float64(d.TotalBytes)},
				sample{[]string{"device", d.ID, "state", "free"}, float64(d.FreeBytes)})
		}
	}
	live := metric{"native_bytes", "gauge",
		"Memory that the model holds, by component; compute buffers and adapters are components of their own.", nil}
	top := metric{"native_peak_bytes", "gauge", "Highest of native_bytes since the model was opened.", nil}
	for i, stats := range m.g.pipe.MemoryStats() { // the base, then the refiner and what else is open
		add := func(component string, now, peak int64) {
			labels := []string{"model", strconv.Itoa(i), "component", component}
			live.samples = append(live.samples, sample{labels, float64(now)})
			top.samples = append(top.samples, sample{labels, float64(peak)})
		}
		for _, c := range stats.Components {
			add(c.Name, c.Weights+c.Host, c.WeightsPeak+c.HostPeak)
		}
		add("compute", stats.Compute, stats.ComputePeak)
		add("adapters", stats.Adapters, stats.AdaptersPeak)
	}
	return append(out, stage, device, live, top)
}
