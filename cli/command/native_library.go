package command

import (
	"context"
	"errors"

	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/pipeline"
)

var errNoLibrary = errors.New("no library")

func nativeExitCode(err error) (int, bool) { return 0, errors.Is(err, errNoLibrary) }

// OpenPipeline opens.
var OpenPipeline = pipeline.Open

// NativeLibrary is the program's own Native.
type NativeLibrary struct{}

// Library implements Native.
func (NativeLibrary) Library() Library { return Library{} }

// Devices implements Native.
func (NativeLibrary) Devices(ctx context.Context) ([]backend.Device, error) { return nil, errNoLibrary }
