package native

import (
	"context"
	"log/slog"
	"regexp"
	"strconv"

	"github.com/daguerre-go/daguerre/bindings"
)

// logTo sends the library's lines to logger. What the logger does not want now is dropped inside the
// library before it is formatted; a logger that wants nothing turns logging off.
func logTo(lib *bindings.Library, logger *slog.Logger) error {
	for level := range int32(len(bindings.LogLevels)) {
		if logger.Enabled(context.Background(), slogLevel(level)) {
			return lib.SetLog(level, func(level int32, text string) {
				ctx := context.Background()
				if l, ok := parseLoading(text); ok {
					logger.LogAttrs(ctx, slogLevel(level), LoadingMessage, slog.String("component", l.component), slog.Int64("done", l.done),
						slog.Int64("total", l.total))
					return
				}
				logger.Log(ctx, slogLevel(level), text)
			})
		}
	}
	return lib.SetLog(0, nil)
}

// LoadingMessage is the message of a record that tells how many bytes of a component are loaded: its attributes are component, done and
// total.
const LoadingMessage = "loading"

// loading is what the library says while it loads a component.
type loading struct {
	component   string
	done, total int64 // bytes
}

var loadingLine = regexp.MustCompile(`^loading ([a-z_0-9]+): ([0-9]+) % of ([0-9.]+) MiB$`)

// parseLoading reads a line of native/src/model/params_place.cpp.
func parseLoading(text string) (l loading, ok bool) {
	m := loadingLine.FindStringSubmatch(text)
	if m == nil {
		return l, false
	}
	percent, err := strconv.ParseFloat(m[2], 64)
	mebibytes, err2 := strconv.ParseFloat(m[3], 64)
	l = loading{m[1], int64(percent / 100 * mebibytes * (1 << 20)), int64(mebibytes * (1 << 20))}
	return l, err == nil && err2 == nil
}

// slogLevel is slog's level of one of the library's: debug, info, warn and error, with four numbers between them.
func slogLevel(level int32) slog.Level {
	return slog.LevelDebug + slog.Level(4*min(level, 3))
}
