package native

import (
	"context"
	"log/slog"

	"github.com/daguerre-go/daguerre/bindings"
)

// logLevels pairs the library's levels with slog's, lowest first.
var logLevels = []struct {
	native bindings.LogLevel
	slog   slog.Level
}{
	{bindings.LogDebug, slog.LevelDebug},
	{bindings.LogInfo, slog.LevelInfo},
	{bindings.LogWarn, slog.LevelWarn},
	{bindings.LogError, slog.LevelError},
}

// logTo sends the library's lines to logger. What the logger does not want now is dropped inside the
// library before it is formatted; a logger that wants nothing turns logging off.
func logTo(lib *bindings.Library, logger *slog.Logger) error {
	for _, level := range logLevels {
		if logger.Enabled(context.Background(), level.slog) {
			return lib.SetLog(level.native, func(native bindings.LogLevel, text string) {
				logger.Log(context.Background(), slogLevel(native), text)
			})
		}
	}
	return lib.SetLog(bindings.LogError, nil)
}

func slogLevel(native bindings.LogLevel) slog.Level {
	for _, level := range logLevels {
		if level.native == native {
			return level.slog
		}
	}
	return slog.LevelError
}
