package native

import (
	"context"
	"log/slog"

	"github.com/daguerre-go/daguerre/bindings"
)

// logTo sends the library's lines to logger. What the logger does not want now is dropped inside the
// library before it is formatted; a logger that wants nothing turns logging off.
func logTo(lib *bindings.Library, logger *slog.Logger) error {
	for level := range int32(len(bindings.LogLevels)) {
		if logger.Enabled(context.Background(), slogLevel(level)) {
			return lib.SetLog(level, func(level int32, text string) { logger.Log(context.Background(), slogLevel(level), text) })
		}
	}
	return lib.SetLog(0, nil)
}

// slogLevel is slog's level of one of the library's: debug, info, warn and error, with four numbers between them.
func slogLevel(level int32) slog.Level {
	return slog.LevelDebug + slog.Level(4*min(level, 3))
}
