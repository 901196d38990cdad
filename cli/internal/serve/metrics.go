package serve

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/daguerre-go/daguerre/internal/durable"
	"github.com/daguerre-go/daguerre/internal/studio"
)

// metrics are what the server counts, for Prometheus.
type metrics struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	active   *prometheus.GaugeVec
}

func newMetrics(s *studio.Studio, r *prometheus.Registry) *metrics {
	m := &metrics{registry: r,
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "daguerre_http_requests_total",
			Help: "Requests that were answered."}, []string{"route", "method", "code"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "daguerre_http_request_seconds",
			Help: "Time from the headers of a request to the end of its answer.", Buckets: prometheus.ExponentialBuckets(0.001, 2.5, 12)},
			[]string{"route"}),
		active: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "daguerre_http_requests_active",
			Help: "Requests that are being answered."}, []string{"route"}),
	}
	r.MustRegister(m.requests, m.seconds, m.active, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), &runCollector{s})
	return m
}

func (m *metrics) begin(route string) { m.active.WithLabelValues(label(route)).Inc() }

func (m *metrics) end(route, method string, status int, took time.Duration) {
	route = label(route)
	m.active.WithLabelValues(route).Dec()
	m.requests.WithLabelValues(route, methodLabel(method), strconv.Itoa(status)).Inc()
	m.seconds.WithLabelValues(route).Observe(took.Seconds())
}

// label is a route without its method: there are so many of them as handlers, whatever clients ask for.
func label(route string) string {
	if _, path, ok := strings.Cut(route, " "); ok {
		route = path
	}
	if route == "" {
		return "none"
	}
	return route
}

// methodLabel is a method that clients cannot invent.
func methodLabel(method string) string {
	switch method {
	case http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodHead, http.MethodOptions:
		return method
	}
	return "other"
}

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4})
}

// runCollector tells of the runs when it is asked.
type runCollector struct{ s *studio.Studio }

var (
	runsDesc = prometheus.NewDesc("daguerre_runs", "Runs that are kept, by state.", []string{"state"}, nil)
	deadDesc = prometheus.NewDesc("daguerre_runs_dead", "Runs that workers died of.", nil, nil)
	waitDesc = prometheus.NewDesc("daguerre_queue_oldest_seconds", "Age of the run that waits for longest.", nil, nil)
	leftDesc = prometheus.NewDesc("daguerre_queue_images", "Pictures of runs that have not ended.", nil, nil)
	madeDesc = prometheus.NewDesc("daguerre_images_total", "Pictures that this process has made.", nil, nil)
	rssDesc  = prometheus.NewDesc("daguerre_native_bytes", "Memory that open models hold, by model and component.",
		[]string{"model", "component"}, nil)
)

// Describe implements prometheus.Collector.
func (c *runCollector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{runsDesc, deadDesc, waitDesc, leftDesc, madeDesc, rssDesc} {
		out <- d
	}
	describeFleet(out)
}

// Collect implements prometheus.Collector.
func (c *runCollector) Collect(out chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	n := c.s.Counts()
	for _, state := range durable.States {
		gauge(runsDesc, float64(n.States[state]), string(state))
	}
	gauge(deadDesc, float64(n.Dead))
	gauge(waitDesc, n.Oldest.Seconds())
	gauge(leftDesc, float64(n.Images))
	out <- prometheus.MustNewConstMetric(madeDesc, prometheus.CounterValue, float64(n.Made))
	collectFleet(c.s.Fleet(), gauge)
	for _, m := range n.Models {
		for i, stats := range m.Memory {
			name := m.Name
			if i > 0 {
				name += "/" + strconv.Itoa(i)
			}
			for _, part := range stats.Components {
				gauge(rssDesc, float64(part.Weights+part.Host), name, part.Name)
			}
			gauge(rssDesc, float64(stats.Compute), name, "compute")
			gauge(rssDesc, float64(stats.Adapters), name, "adapters")
		}
	}
}
