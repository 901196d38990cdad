package install

import (
	"errors"

	"github.com/daguerre-go/daguerre/internal/download"
)

// What can go wrong, for errors.Is. Beside these there are native.ErrNoLibrary, for a library that does not work on this machine, the
// context's errors, and those of the file system.
var (
	ErrOptions     = errors.New("wrong option")              // Options that cannot be meant
	ErrUnavailable = download.ErrUnavailable                 // there is none for this version, platform or variant
	ErrDownload    = download.ErrFailed                      // the network, or the server
	ErrUnverified  = errors.New("not verified")              // a signature or a sum is wrong or missing
	ErrArchive     = errors.New("damaged or unsafe archive") // it cannot be unpacked, or must not be
	ErrWrite       = download.ErrWrite                       // the data folder: permission, a full disk
)

func failed(is error, format string, args ...any) error { return download.Failed(is, format, args...) }

func optionError(format string, args ...any) error { return failed(ErrOptions, format, args...) }
