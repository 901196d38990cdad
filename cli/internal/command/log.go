package command

import (
	"context"
	"io"
	"log/slog"
	"slices"
	"strings"

	"github.com/daguerre-go/daguerre/cli/internal/progress"
)

// newLogger returns the logger that the pipeline writes to: warnings become events, and with verbose all the rest goes to w.
func newLogger(r progress.Reporter, w io.Writer, verbose bool) *slog.Logger {
	if verbose {
		return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	return slog.New(&warningHandler{report: r})
}

// warningHandler reports warnings and errors as progress.Warning, their attributes in parentheses.
type warningHandler struct {
	report progress.Reporter
	attrs  []string
	group  string
}

// Enabled implements slog.Handler.
func (h *warningHandler) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelWarn }

// Handle implements slog.Handler.
func (h *warningHandler) Handle(_ context.Context, record slog.Record) error {
	parts := slices.Clone(h.attrs)
	record.Attrs(func(a slog.Attr) bool {
		parts = append(parts, h.group+a.String())
		return true
	})
	text := record.Message
	if len(parts) > 0 {
		text += " (" + strings.Join(parts, ", ") + ")"
	}
	h.report.Report(progress.Warning{Message: text})
	return nil
}

// WithAttrs implements slog.Handler.
func (h *warningHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	c := *h
	c.attrs = slices.Clone(h.attrs)
	for _, a := range attrs {
		c.attrs = append(c.attrs, h.group+a.String())
	}
	return &c
}

// WithGroup implements slog.Handler.
func (h *warningHandler) WithGroup(name string) slog.Handler {
	c := *h
	if name != "" {
		c.group += name + "."
	}
	return &c
}
