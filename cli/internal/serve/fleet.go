package serve

import (
	"context"
	"net/http"
	"strconv"

	"github.com/danielgtaylor/huma/v2"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/daguerre-go/daguerre/cli/internal/face"
	"github.com/daguerre-go/daguerre/internal/durable"
)

// Numbers of the queues and of the workers of a fleet. Workers open no port: API nodes tell of them.
var (
	ageDesc     = fleetDesc("queue_oldest_seconds", "Age of the run that waits for longest in a queue.", "owner", "model", "priority")
	laneDesc    = fleetDesc("queue_waiting", "Runs that wait in a queue.", "owner", "model", "priority")
	workersDesc = fleetDesc("workers", "Workers that are there.")
	loadedDesc  = workerDesc("loaded", "1 for each model that a worker has loaded.", "model")
)

var workerDescs = []struct {
	desc  *prometheus.Desc
	value func(p durable.Presence) float64
}{
	{workerDesc("images_per_minute", "Pictures that a worker has made in the last minute."),
		func(p durable.Presence) float64 { return p.Rate }},
	{workerDesc("images_made", "Pictures that a worker has made since it began."),
		func(p durable.Presence) float64 { return float64(p.Made) }},
	{workerDesc("runs", "Runs that a worker has in work."), func(p durable.Presence) float64 { return float64(p.Runs) }},
	{workerDesc("images", "Pictures of the runs that a worker has in work."), func(p durable.Presence) float64 { return float64(p.Images) }},
	{workerDesc("window_images", "Pictures that a worker takes at most."), func(p durable.Presence) float64 { return float64(p.Window) }},
	{workerDesc("free_bytes", "Free memory of a worker's device."), func(p durable.Presence) float64 { return float64(p.Free) }},
	{workerDesc("total_bytes", "Memory of a worker's device."), func(p durable.Presence) float64 { return float64(p.Total) }},
	{workerDesc("began_seconds", "When a worker began, as Unix time."), func(p durable.Presence) float64 { return float64(p.Began.Unix()) }},
}

func fleetDesc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("daguerre_fleet_"+name, help, labels, nil)
}

func workerDesc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("daguerre_worker_"+name, help, append([]string{"worker"}, labels...), nil)
}

func describeFleet(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{ageDesc, laneDesc, workersDesc, loadedDesc} {
		out <- d
	}
	for _, w := range workerDescs {
		out <- w.desc
	}
}

func collectFleet(f durable.Fleet, gauge func(d *prometheus.Desc, value float64, labels ...string)) {
	gauge(workersDesc, float64(len(f.Workers)))
	for _, l := range f.Queues {
		labels := []string{l.Owner, l.Model, strconv.Itoa(l.Priority)}
		gauge(ageDesc, l.Seconds, labels...)
		gauge(laneDesc, float64(l.Waiting), labels...)
	}
	for _, p := range f.Workers {
		for _, w := range workerDescs {
			gauge(w.desc, w.value(p), p.Name)
		}
		for _, model := range p.Loaded {
			gauge(loadedDesc, 1, p.Name, model)
		}
	}
}

// fleet offers how workers and queues are.
func (a *api) fleet() {
	type out struct{ Body durable.Fleet }
	huma.Register(a.h, operation("get-fleet", http.MethodGet, "/v1/fleet", "Workers, and queues of your runs", "server"),
		func(ctx context.Context, _ *struct{}) (*out, error) { return &out{a.s.FleetOf(face.Caller(ctx))}, nil })
}
