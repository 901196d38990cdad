package hub

import (
	"errors"

	"github.com/daguerre-go/daguerre/internal/disk"
	"github.com/daguerre-go/daguerre/internal/download"
	"github.com/daguerre-go/daguerre/internal/library"
	"github.com/daguerre-go/daguerre/internal/modelname"
)

// What can go wrong, for errors.Is. Beside these there are the context's errors.
var (
	ErrName        = modelname.ErrName                                 // a text that can be no name
	ErrNotPulled   = library.ErrNotFound                               // the model is not on this machine
	ErrAmbiguous   = library.ErrAmbiguous                              // several models answer to the name
	ErrUnavailable = download.ErrUnavailable                           // the server does not have it
	ErrAccess      = errors.New("no access")                           // it needs a token, or the consent to its terms
	ErrDownload    = download.ErrFailed                                // the network, or the server
	ErrWrite       = download.ErrWrite                                 // the folder of models: permission, a full disk
	ErrSpace       = disk.ErrSpace                                     // the disk has too little room
	ErrUnverified  = errors.New("the file is not what it should be")   // a wrong sum
	ErrPickle      = errors.New("a pickle of a stranger is not taken") // Options.AllowPickle
	ErrOffline     = errors.New("connections are forbidden")           // HF_HUB_OFFLINE
)

func failed(is error, format string, args ...any) error { return download.Failed(is, format, args...) }
