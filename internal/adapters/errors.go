package adapters

import (
	"errors"
	"fmt"

	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/internal/words"
	"github.com/daguerre-go/daguerre/runtime/lora"
)

func fail(kind error, field, format string, args ...any) *lora.Error {
	return &lora.Error{Kind: kind, Field: field, Message: fmt.Sprintf(format, args...)}
}

// of names the adapter in a *lora.Error that does not say it yet.
func of(adapter string, err error) error {
	var e *lora.Error
	if errors.As(err, &e) && e.Adapter == "" {
		e.Adapter = adapter
	}
	return err
}

// fileError wraps what modelfile reports; its messages name the file themselves.
func fileError(err error) error {
	e := &lora.Error{Kind: lora.ErrFormat, Message: err.Error(), Cause: err}
	if errors.Is(err, modelfile.ErrNotFound) {
		e.Kind = lora.ErrNotFound
	}
	return e
}

var quoteName = words.Quote

func tensorField(name string) string { return "tensor " + quoteName(name) }
