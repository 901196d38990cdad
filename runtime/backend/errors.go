package backend

import "errors"

// The errors that every backend has. errors.Is finds them.
var (
	// ErrArgument is a wrong shape, size or name in a call, or an adapter that cannot be used there. The message begins with the
	// operation and names the field.
	ErrArgument = errors.New("invalid argument")
	// ErrModel is a model or an adapter whose tensors are missing, have wrong shapes, or fit no model that is known.
	ErrModel = errors.New("not a usable model")
	// ErrUnsupported is a correct call of something that this model or device does not have.
	ErrUnsupported = errors.New("not supported")
	// ErrClosed is a call of a closed model.
	ErrClosed = errors.New("the model is closed")
	// ErrOutOfMemory is an allocation that failed: of weights, compute buffers or adapters, on any device. The message says what
	// was to be allocated, how large it is and where. The model releases its compute buffers and stays usable: a smaller call may
	// succeed. It is the one error of this kind. A plan that does not fit is another one (memory.ErrOverBudget).
	ErrOutOfMemory = errors.New("out of memory")
	// ErrDeviceLost is a device that failed while it computed. Nothing in this process can compute on it any more; a new process may.
	ErrDeviceLost = errors.New("the device is lost")
)
