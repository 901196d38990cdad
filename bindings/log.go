package bindings

import (
	"fmt"
	"os"
	"runtime/debug"
	"sync"
	"unsafe"

	"github.com/ebitengine/purego"
)

// logFunc receives one line of log text, without a newline. It may be called from any thread, by one
// at a time, while the engine waits for it: it must be quick and must not call the library.
type logFunc = func(level int32, text string)

// logRoutes finds the handler for the integer that C hands back.
var logRoutes struct {
	sync.RWMutex
	last     int64
	handlers map[int64]logFunc
}

// logCallback is the one C function pointer of this process for log lines: purego never frees a
// callback and has room for about 2,000, so handlers are told apart by an integer instead.
var logCallback = sync.OnceValue(func() uintptr { return purego.NewCallback(routeLog) })

// routeLog matches dg_log_callback: void (int32_t level, const char* text, int64_t user). Its result is for Windows, where a callback must
// have one; C does not look at it.
func routeLog(level int32, text *byte, user int64) uintptr {
	logRoutes.RLock()
	handler := logRoutes.handlers[user]
	logRoutes.RUnlock()
	if handler == nil || text == nil {
		return 0
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
	handler(level, goString(unsafe.Slice(text, n)))
	return 0
}

// SetLog sends the library's log lines of the given level and above to handler, in place of the handler
// before; nil turns logging off. The setting is process-wide. Lines that were on their way to the old
// handler may be lost.
func (l *Library) SetLog(level int32, handler logFunc) error {
	l.logMu.Lock()
	defer l.logMu.Unlock()
	var callback uintptr
	var route int64
	if handler != nil {
		callback = logCallback()
		route = addLogRoute(handler)
	}
	err := check("dg_set_log", func(msg *byte, size uintptr) int32 { return l.fn.setLog(callback, route, level, msg, size) })
	if err != nil {
		dropLogRoute(route)
		return err
	}
	dropLogRoute(l.logRoute)
	l.logRoute = route
	return nil
}

func addLogRoute(handler logFunc) int64 {
	logRoutes.Lock()
	defer logRoutes.Unlock()
	if logRoutes.handlers == nil {
		logRoutes.handlers = map[int64]logFunc{}
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
