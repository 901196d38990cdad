package hub

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/daguerre-go/daguerre/internal/hubcache"
	"github.com/daguerre-go/daguerre/internal/modelfile"
)

// The states of a Check.
const (
	CheckOK      = "ok"
	CheckWrong   = "wrong"   // another size or another sum
	CheckMissing = "missing" // it is listed, and not there
	CheckUnknown = "unknown" // nobody told its sum
)

// Check is what Verify found out about a file.
type Check struct {
	File    string `json:"file"` // in the repository
	Path    string `json:"path"`
	Size    int64  `json:"size"`
	State   string `json:"state"`
	Sum     string `json:"sum,omitempty"`  // that it has
	Want    string `json:"want,omitempty"` // that it must have: a SHA-256, or git's sum of a small file
	Problem string `json:"problem,omitempty"`
}

// Verify reads all files of a fetched model and compares their sums with those that the hub told. It makes no connection. progress, if not
// nil, is told the bytes read so far and in all. An error is one of reading; wrong files are in the checks.
func Verify(ctx context.Context, m Model, progress func(done, total int64)) ([]Check, error) {
	wanted, err := hubcache.FromEnv().Wanted(m)
	if err != nil {
		return nil, err
	}
	var checks []Check
	var done, total int64
	for _, w := range wanted {
		if st, err := os.Stat(w.Path); err == nil {
			total += st.Size()
		}
	}
	for _, w := range wanted {
		c := Check{File: w.File, Path: w.Path, State: CheckOK, Want: w.Want.Sum()}
		st, err := os.Stat(w.Path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			c.State, c.Problem = CheckMissing, "it is not there"
			checks = append(checks, c)
			continue
		case err != nil:
			return checks, err
		}
		c.Size = st.Size()
		if c.Want == "" {
			c.State, c.Problem = CheckUnknown, "nobody told its sum"
			c.Sum, err = modelfile.HashFile(ctx, w.Path, nil)
		} else {
			c.Sum, err = fileSum(ctx, w.Path, w.Want, func(n int64) {
				if progress != nil {
					progress(done+n, total)
				}
			})
		}
		if err != nil {
			return checks, err
		}
		switch {
		case c.State == CheckUnknown:
		case w.Want.Size > 0 && c.Size != w.Want.Size:
			c.State, c.Problem = CheckWrong, fmt.Sprintf("it has %d bytes, and %d are expected", c.Size, w.Want.Size)
		case c.Sum != c.Want:
			c.State, c.Problem = CheckWrong, "its sum is "+c.Sum+", where "+c.Want+" is expected"
		}
		if done += c.Size; progress != nil {
			progress(done, total)
		}
		checks = append(checks, c)
	}
	return checks, nil
}
