package conditioning

import (
	"errors"
	"fmt"

	"github.com/daguerre-go/daguerre/runtime/prompt"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// Texts reads a request's prompts. The request is prepared, and its prompts hold no tags of adapters.
type Texts struct {
	Request *request.Request
	Reader  *prompt.Reader
	Passes  []Pass       // of the picture's steps
	Alone   bool         // regions cover the picture: prompt counts nowhere and is not encoded
	Warn    func(string) // told of what a text's warnings say
}

// Pass is a part of a picture's steps in which the edits of its prompts count: the base's with those of a refiner that goes on, a refiner's
// own, or the second pass's.
type Pass struct {
	Steps  int
	Second bool
}

// promptError files a prompt's error under its key.
func promptError(key string, err error) error {
	var own *prompt.Error
	if errors.As(err, &own) {
		return request.Errors{{Path: key, Message: own.Error()}}
	}
	return fmt.Errorf("%s: %w", key, err)
}
