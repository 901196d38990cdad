package models

import "errors"

// ErrUnsupported is matched by the error of a model that is sound, but that cannot do what it is to do here.
var ErrUnsupported = errors.New("unsupported model")

// ErrControlMemory is matched by the error of a job whose ControlNets together need more memory than they may have.
var ErrControlMemory = errors.New("the ControlNets need more memory than they may have")
