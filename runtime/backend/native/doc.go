// Package native computes on libdaguerre: it implements backend.Backend and backend.Model on package
// bindings, and is its only importer.
//
// It adds to the bindings what the pipeline's interface promises: names for devices, types and
// precisions; tensors whose shapes are checked, with errors that name the field, before native code
// sees them; cancelling through a context; and models that are used by one goroutine at a time,
// whoever calls.
//
// # Concurrency
//
// A [Backend] is safe for concurrent use. A [Model]'s methods may be called from several goroutines;
// they run one at a time, and waiting for one's turn ends when the context does. Tokenize, Info and
// Close of another model wait for nothing. Cancelling a context stops only the call it was given to.
// Close waits for the call that is running; to have it end soon, cancel that call's context first.
//
// # Errors
//
// Errors are an [*Error] with the operation's name. errors.Is finds the library's status in them
// (backend.ErrOutOfMemory, [ErrDevice], ...), and context.Canceled or context.DeadlineExceeded where the
// context ended the call.
package native
