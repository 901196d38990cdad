package service

import (
	"context"
	"errors"
	"fmt"

	"github.com/daguerre-go/daguerre/internal/queue"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// Code says what kind of failure an Error is.
type Code string

// The codes.
const (
	CodeDuplicateID  Code = "duplicate_id"
	CodeInvalid      Code = "invalid_request"
	CodeNotFound     Code = "not_found"
	CodeNotRunning   Code = "not_running"
	CodeQueueFull    Code = "queue_full"
	CodeBusy         Code = "busy"
	CodeBadFile      Code = "bad_file"
	CodeOutOfMemory  Code = "out_of_memory"
	CodeNative       Code = "native"
	CodeFailed       Code = "failed"
	CodeCancelled    Code = "cancelled"
	CodeDeadline     Code = "deadline"
	CodeShuttingDown Code = "shutting_down"
)

// Error is a failure with its kind, for those who pass it on.
type Error struct {
	Code    Code
	Message string
	Fields  request.Errors // each mistake of a request
}

func (e *Error) Error() string { return e.Message }

// Errorf makes an Error.
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// StoreError is a Store's error: what was made cannot be kept.
type StoreError struct{ Err error }

func (e *StoreError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *StoreError) Unwrap() error { return e.Err }

// Explain sorts an error by its kind.
func (s *Service) Explain(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	e := &Error{Code: CodeFailed, Message: err.Error()}
	if s.opts.Classify != nil {
		e.Code = s.opts.Classify(err)
	}
	fields, listed := errors.AsType[request.Errors](err)
	switch {
	case listed && (e.Code == CodeInvalid || e.Code == CodeFailed):
		e.Code, e.Fields = CodeInvalid, fields
	case errors.Is(err, context.DeadlineExceeded):
		e.Code = CodeDeadline
	case errors.Is(err, queue.ErrCancelled), errors.Is(err, queue.ErrClosed), errors.Is(err, context.Canceled):
		e.Code, e.Message = CodeCancelled, "cancelled"
	case e.Code == CodeBadFile:
		e.Fields = fields
	}
	return e
}
