// Package bindings is the purego table of libdaguerre: one Go function variable for every function
// of native/include/daguerre.h, one mirror for every struct, one name for every enum value, and
// the loader that finds the library. It uses no cgo and imports only purego and the standard library.
//
// It is thin on purpose. What it adds to the C ABI is what a Go caller cannot do without: errors that
// keep their status code ([Error]), handles that cannot be used after they were closed ([Model]), and
// memory that stays where it is while C looks at it. Policy, names and shapes belong to package
// runtime/backend/native, which is the only importer.
//
// # Who guards memory
//
// C reads as many values as a model's dimensions ask for. Package internal/contract compares the lengths of tensors with them, before
// package native calls [Model]. This package guards what contract does not see: lists, texts, names and the tensors of adapters, and
// the rows of [Library.Quantize]. The library itself checks the lengths of results, and every number that it is given.
//
// # Loading
//
// [Load] opens the library once per process, trying the places and variants that [Find] lists, best
// first, and keeps one [Attempt] with a reason in words for each.
//
// # Memory
//
// The caller owns every buffer; only model handles are freed through the library. C keeps no pointer
// to Go memory after a call returns. Slices that are reached through a struct are pinned for the call.
//
// # Concurrency
//
// A [Library] may be used from several goroutines. Calls on one [Model] run one at a time;
// [Model.SetCancel] may be called at any moment. Errors of the message buffer are per call: nothing is
// kept per thread, so goroutines may move between threads.
package bindings
