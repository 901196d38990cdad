package command

import (
	"slices"
	"strings"

	"github.com/daguerre-go/daguerre/internal/regular"
	"github.com/daguerre-go/daguerre/internal/words"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// promptFlags are the flags whose text may stand in a file: --prompt @FILE. A text that begins with @ itself is written with two.
var promptFlags = []string{"prompt", "negative_prompt", "prompt_2", "negative_prompt_2"}

// mostPrompt bounds the file of a prompt; a longer one is refused by request.
const mostPrompt = 1 << 20

// textOf is the value of a flag for a text. Of a file, its byte order mark and the line ends at its end are not
// part of it, and the line ends of Windows count as others.
func (s setting) textOf(value, flag string, errs *request.Errors) string {
	path, ok := strings.CutPrefix(value, "@")
	if !ok || !slices.Contains(promptFlags, s.key) {
		return value
	}
	if strings.HasPrefix(path, "@") {
		return path
	}
	if path == "" {
		errs.Add("--"+flag, "is @ without a file; write @FILE, or @@ for a text that begins with @")
		return request.NoPrompt
	}
	data, err := regular.ReadFile(path, mostPrompt)
	if err != nil {
		errs.AddFile("--"+flag+" "+value, "%s", strings.TrimPrefix(err.Error(), path+": "))
		return request.NoPrompt // so that nothing else is said of it
	}
	return strings.TrimRight(strings.ReplaceAll(string(words.WithoutBOM(data)), "\r\n", "\n"), "\r\n")
}
