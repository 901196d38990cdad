//go:build unix

// Command serving tries the server of daguerre as a whole, from outside: it kills it, loads it, and measures what it costs.
//
//	go run ./tools/serving faults        300 runs while the server is killed 30 times (make serve-faults)
//	go run ./tools/serving fleet         500 runs on a fleet whose processes are killed 40 times (make fleet-faults)
//	go run ./tools/serving fair         two owners and cancelled runs on a fleet (make fleet-fair)
//	go run ./tools/serving load          200 clients for five minutes (make serve-load)
//	go run ./tools/serving accept        10,000 runs as fast as they are accepted (make serve-load)
//	go run ./tools/serving cost          the server against daguerre generate (make serve-cost)
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
)

// options are the flags of all subcommands.
type options struct {
	program string
	dir     string
	args    string // more flags of serve
	tokens  string // file for API nodes; empty: none
	runs    int
	kills   int
	clients int
	minutes float64
	rounds  int
	nats    string
	moto    string
	workers int
	seed    uint64
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "serving:", err)
		os.Exit(1)
	}
}

func run() error {
	commands := map[string]func(context.Context, options) error{"faults": faults, "fleet": fleetFaults, "fair": fleetFair, "load": load,
		"accept": accept, "cost": cost}
	if len(os.Args) < 2 || commands[os.Args[1]] == nil {
		return fmt.Errorf("name what to do: faults, fleet, fair, load, accept or cost")
	}
	var o options
	f := flag.NewFlagSet(os.Args[1], flag.ExitOnError)
	f.StringVar(&o.program, "program", "bin/daguerre", "the program")
	f.StringVar(&o.dir, "dir", "", "folder for the server's files; empty: a temporary one")
	f.StringVar(&o.args, "args", "", "more flags of serve, with spaces between")
	f.IntVar(&o.runs, "runs", map[string]int{"faults": 300, "fleet": 500, "fair": 1000, "accept": 10000, "cost": 24}[os.Args[1]],
		"runs to submit")
	f.IntVar(&o.kills, "kills", map[string]int{"faults": 30, "fleet": 40}[os.Args[1]], "faults, fleet: how often a process is killed")
	f.StringVar(&o.nats, "nats", "build/tools/nats-server", "fleet: the program of the NATS servers")
	f.StringVar(&o.moto, "s3", "build/tools/moto/bin/moto_server", "fleet: the program of the S3 server")
	f.IntVar(&o.workers, "workers", 3, "fleet: workers")
	f.IntVar(&o.clients, "clients", 200, "load, accept: clients at once")
	f.Float64Var(&o.minutes, "minutes", 5, "load: how long")
	f.IntVar(&o.rounds, "rounds", 8, "cost: rounds")
	f.Uint64Var(&o.seed, "seed", 1, "of what is random")
	if err := f.Parse(os.Args[2:]); err != nil {
		return err
	}
	if o.dir == "" {
		dir, err := os.MkdirTemp("", "daguerre-serving-")
		if err != nil {
			return err
		}
		defer func() { _ = os.RemoveAll(dir) }() // it is the system's folder for such
		o.dir = dir
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	return commands[os.Args[1]](ctx, o)
}

func (o options) serveArgs() []string { return strings.Fields(o.args) }
