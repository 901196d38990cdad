package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// reserve is left at the end, to write the report.
const reserve = 5 * time.Second

// clock keeps the whole check to its time.
type clock struct{ began, end time.Time }

func newClock(budget time.Duration) clock {
	now := time.Now()
	return clock{now, now.Add(budget - reserve)}
}

func (c clock) left() time.Duration { return time.Until(c.end) }

// section is a part of the report and the least time that it is worth beginning with.
type section struct {
	name  string
	needs time.Duration
	run   func(ctx context.Context) error
}

// errNotRun is the error of what is left out, with the reason.
type errNotRun struct{ why string }

func (e errNotRun) Error() string { return e.why }

func notRun(format string, args ...any) error { return errNotRun{fmt.Sprintf(format, args...)} }

// section runs a section, where there is time for it, and notes what came of it.
func (c *check) section(ctx context.Context, s section) {
	if left := c.clock.left(); left < s.needs && !c.rehearse {
		c.report.NotRun = append(c.report.NotRun, fmt.Sprintf("%s: %.0f s are left, and it wants %.0f s", s.name, left.Seconds(),
			s.needs.Seconds()))
		return
	}
	began := time.Now()
	err := s.run(ctx)
	c.report.Sections = append(c.report.Sections, Section{s.name, round(time.Since(began).Seconds())})
	var left errNotRun
	switch {
	case err == nil:
	case errors.As(err, &left):
		c.report.NotRun = append(c.report.NotRun, s.name+": "+left.why)
	case ctx.Err() != nil:
		c.report.NotRun = append(c.report.NotRun, s.name+": the time ran out in it")
	default:
		c.report.Failures = append(c.report.Failures, fmt.Sprintf("%s: %v", s.name, err))
	}
}
