package command

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/daguerre-go/daguerre/internal/durable"
	"github.com/daguerre-go/daguerre/internal/words"
)

// fleetOptions is what the fleet commands are asked to do.
type fleetOptions struct {
	queue durable.Options
	runs  []string // ids
	all   bool
	json  bool
}

func fleetOptionsOf(c *cli.Context) (o fleetOptions, err error) {
	o = fleetOptions{queue: durable.Options{URL: c.String("nats"), Creds: c.String("nats-creds"), CA: c.String("nats-ca"),
		Access: durable.Observes}, runs: c.Args().Slice(), all: c.Bool("all"), json: c.Bool("json")}
	if o.queue.URL == "" {
		return o, usagef(c.Command.HelpName, "--nats is missing: the URL of the servers that keep the queue, such as nats://queue:4222")
	}
	return o, nil
}

// fleetList is fleetOptionsOf for commands that take no argument.
func fleetList(c *cli.Context) (o fleetOptions, err error) {
	if o, err = fleetOptionsOf(c); err == nil {
		err = noArgs(c, "; it tells of all runs")
	}
	return o, err
}

// fleetRuns is fleetOptionsOf for commands that take runs.
func fleetRuns(c *cli.Context) (o fleetOptions, err error) {
	if o, err = fleetOptionsOf(c); err == nil && o.all != (len(o.runs) == 0) {
		err = usagef(c.Command.HelpName, "give the ids of dead runs, as daguerre fleet dead lists them, or --all")
	}
	return o, err
}

// with opens the queue for a while.
func (o fleetOptions) with(ctx context.Context, do func(q *durable.Queue) error) error {
	q, err := durable.Open(ctx, o.queue)
	if err != nil {
		return err
	}
	defer q.Close()
	return do(q)
}

// status tells of workers and queues.
func (o fleetOptions) status(ctx context.Context, env Env) error {
	return o.with(ctx, func(q *durable.Queue) error {
		f := q.Fleet()
		if o.json {
			return printJSON(env.Stdout, f)
		}
		p := &page{}
		if len(f.Workers) > 0 {
			p.figures(workerRows(f, env.Now()), 1)
			p.line("")
		}
		if len(f.Queues) > 0 {
			p.figures(laneRows(f), 3)
			p.line("")
		}
		p.line("%s", fleetLine(f))
		return p.print(env)
	})
}

func workerRows(f durable.Fleet, now time.Time) [][]string {
	rows := [][]string{{"WORKER", "DEVICE", "FREE", "LOADED", "MODELS", "RUNS", "PICTURES", "A MINUTE", "MADE", "UP"}}
	for _, w := range f.Workers {
		state := strings.Join(w.Loaded, ", ")
		if w.Draining {
			state = "(draining) " + state
		}
		rows = append(rows, []string{w.Name, w.Device, words.Bytes(w.Free), cmp.Or(state, "-"), fmt.Sprint(len(w.Models)), fmt.Sprint(w.Runs),
			fmt.Sprint(w.Images), fmt.Sprintf("%.1f", w.Rate), fmt.Sprint(w.Made), age(now.Sub(w.Began))})
	}
	return rows
}

func laneRows(f durable.Fleet) [][]string {
	rows := [][]string{{"OWNER", "MODEL", "PRIORITY", "WAITING", "PICTURES", "OLDEST", "IN WORK", "WORKERS"}}
	for _, l := range f.Queues {
		rows = append(rows, []string{l.Owner, l.Model, fmt.Sprint(l.Priority), fmt.Sprint(l.Waiting), fmt.Sprint(l.Images), age(l.Oldest()),
			fmt.Sprint(l.Running), fmt.Sprint(l.Workers)})
	}
	return rows
}

// fleetLine is the sum of all.
func fleetLine(f durable.Fleet) string {
	line := fmt.Sprintf("%d %s, %.1f pictures a minute; %d %s wait, %d are in work", len(f.Workers), words.Plural(len(f.Workers), "worker"),
		f.Rate, f.Waiting, words.Plural(f.Waiting, "run"), f.Running)
	if f.Dead > 0 {
		line += fmt.Sprintf("; %d dead (daguerre fleet dead)", f.Dead)
	}
	var none []string
	for _, l := range f.Queues {
		if l.Workers == 0 && l.Waiting > 0 && !slices.Contains(none, l.Model) {
			none = append(none, l.Model)
		}
	}
	if len(none) > 0 {
		line += "\nno worker has " + strings.Join(none, ", ") + ": start one that has, or cancel the runs"
	}
	return line
}

// age is a time in words as short as a column.
func age(d time.Duration) string { return d.Round(time.Second).String() }

// deadRun is a dead run with --json.
type deadRun struct {
	ID       string    `json:"id"`
	Owner    string    `json:"owner"`
	Model    string    `json:"model"`
	Ended    time.Time `json:"ended"`
	Attempts int       `json:"attempts"`
	Worker   string    `json:"worker"` // the last one
	Reason   string    `json:"reason"`
}

// dead lists the runs that workers died of.
func (o fleetOptions) dead(ctx context.Context, env Env) error {
	return o.with(ctx, func(q *durable.Queue) error {
		list, rows := []deadRun{}, [][]string{{"RUN", "OWNER", "MODEL", "ENDED", "LAST WORKER", "REASON"}}
		for _, r := range q.Dead() {
			d := deadRun{ID: r.ID, Owner: r.Owner, Model: r.Model, Ended: r.Ended, Attempts: r.Attempts, Worker: r.Worker}
			if r.Error != nil {
				d.Reason = r.Error.Message
			}
			list = append(list, d)
			rows = append(rows, []string{d.ID, d.Owner, d.Model, d.Ended.Local().Format(time.DateTime), d.Worker, d.Reason})
		}
		if len(list) == 0 && !o.json {
			return printTo(env.Stdout, "No run is dead.\n")
		}
		return printList(env, o.json, list, rows)
	})
}

// resubmit queues dead runs again.
func (o fleetOptions) resubmit(ctx context.Context, env Env) error {
	return o.with(ctx, func(q *durable.Queue) error {
		ids := o.runs
		if o.all {
			for _, r := range q.Dead() {
				ids = append(ids, r.ID)
			}
		}
		done := []string{}
		var errs []error
		for _, id := range ids {
			r, err := q.Find(id)
			if err == nil {
				_, err = q.Resubmit(ctx, r.Owner, id)
			}
			if err != nil {
				errs = append(errs, fmt.Errorf("run %s: %w", words.Clip(id), err))
				continue
			}
			done = append(done, id)
		}
		err := error(nil)
		if o.json {
			err = printJSON(env.Stdout, map[string][]string{"resubmitted": done})
		} else {
			err = printTo(env.Stdout, "%d %s queued again\n", len(done), words.Plural(len(done), "run"))
		}
		return errors.Join(append(errs, err)...)
	})
}
