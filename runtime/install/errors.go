package install

import (
	"errors"
	"fmt"
)

// What can go wrong, for errors.Is. Beside these there are native.ErrNoLibrary, for a library that does not work on this machine, the
// context's errors, and those of the file system.
var (
	ErrOptions     = errors.New("wrong option")              // Options that cannot be meant
	ErrUnavailable = errors.New("no such archive")           // there is none for this version, platform or variant
	ErrDownload    = errors.New("the download failed")       // the network, or the server
	ErrUnverified  = errors.New("not verified")              // a signature or a sum is wrong or missing
	ErrArchive     = errors.New("damaged or unsafe archive") // it cannot be unpacked, or must not be
	ErrWrite       = errors.New("cannot write")              // the data folder: permission, a full disk
)

// failure is an error with words of its own that matches a sentinel, which its words do not repeat.
type failure struct {
	is  error
	err error
}

func (f *failure) Error() string { return f.err.Error() }

func (f *failure) Unwrap() []error { return []error{f.is, f.err} }

func failed(is error, format string, args ...any) error {
	return &failure{is, fmt.Errorf(format, args...)}
}

func optionError(format string, args ...any) error { return failed(ErrOptions, format, args...) }
