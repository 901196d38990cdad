package bindings

import (
	"fmt"
	"os"
	"runtime/debug"
	"sync"
	"unsafe"

	"github.com/ebitengine/purego"
)

// logFuncs direct the library's log lines.
type logFuncs struct {
	// DG_API dg_status dg_set_log(dg_log_callback callback, int64_t user, int32_t min_level, char* msg, size_t msg_cap);
	setLog func(callback uintptr, user int64, minLevel int32, msg *byte, msgCap uintptr) int32
}

func (f *logFuncs) symbols() []symbol {
	return []symbol{{"dg_set_log", &f.setLog}}
}

// LogFunc receives one line of log text, without a newline. It may be called from any thread, by one
// at a time, while the engine waits for it: it must be quick and must not call the library.
type LogFunc func(level LogLevel, text string)

// logRoutes finds the handler for the integer that C hands back.
var logRoutes struct {
	sync.RWMutex
	last     int64
	handlers map[int64]LogFunc
}

// logCallback is the one C function pointer of this process for log lines: purego never frees a
// callback and has room for about 2,000, so handlers are told apart by an integer instead.
var logCallback = sync.OnceValue(func() uintptr { return purego.NewCallback(routeLog) })

// routeLog matches dg_log_callback: void (int32_t level, const char* text, int64_t user).
func routeLog(level int32, text *byte, user int64) {
	logRoutes.RLock()
	handler := logRoutes.handlers[user]
	logRoutes.RUnlock()
	if handler == nil || text == nil {
		return
	}
	// A panic may not unwind through the C++ frames between here and the Go call that is running.
	defer func() {
		if p := recover(); p != nil {
			fmt.Fprintf(os.Stderr, "daguerre: panic in a log handler: %v\n%s", p, debug.Stack())
		}
	}()
	n := 0
	for *(*byte)(unsafe.Add(unsafe.Pointer(text), n)) != 0 {
		n++
	}
	handler(LogLevel(level), goString(unsafe.Slice(text, n)))
}

// SetLog sends the library's log lines of the given level and above to handler, in place of the handler
// before; nil turns logging off. The setting is process-wide. Lines that were on their way to the old
// handler may be lost.
func (l *Library) SetLog(level LogLevel, handler LogFunc) error {
	l.logMu.Lock()
	defer l.logMu.Unlock()
	var callback uintptr
	var route int64
	if handler != nil {
		callback = logCallback()
		route = addLogRoute(handler)
	}
	err := check("dg_set_log", func(msg *byte, msgCap uintptr) int32 {
		return l.fn.setLog(callback, route, int32(level), msg, msgCap)
	})
	if err != nil {
		dropLogRoute(route)
		return err
	}
	dropLogRoute(l.logRoute)
	l.logRoute = route
	return nil
}

func addLogRoute(handler LogFunc) int64 {
	logRoutes.Lock()
	defer logRoutes.Unlock()
	if logRoutes.handlers == nil {
		logRoutes.handlers = map[int64]LogFunc{}
	}
	logRoutes.last++
	logRoutes.handlers[logRoutes.last] = handler
	return logRoutes.last
}

func dropLogRoute(route int64) {
	logRoutes.Lock()
	defer logRoutes.Unlock()
	delete(logRoutes.handlers, route)
}
