package bindings

import (
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

const logDebug, logInfo, logWarn = 0, 1, 2

type logLines struct {
	sync.Mutex
	lines []string
}

func (l *logLines) add(level int32, text string) {
	l.Lock()
	defer l.Unlock()
	l.lines = append(l.lines, string(rune('0'+level))+" "+text)
}

func openLogged(t *testing.T, lib *Library, path string) {
	t.Helper()
	m, err := lib.OpenModel(ModelParams{Files: []File{{Path: path}}})
	require.NoError(t, err)
	require.NoError(t, m.Close())
}

// The stand-in logs from a thread that Go did not make.
func TestLogLinesArriveFromForeignThreads(t *testing.T) {
	lib := fake(t)
	var got, other logLines
	require.NoError(t, lib.SetLog(logDebug, got.add))
	openLogged(t, lib, "first")
	require.NoError(t, lib.SetLog(logInfo, other.add)) // replaces
	openLogged(t, lib, "second")
	require.NoError(t, lib.SetLog(logWarn, other.add)) // filters
	openLogged(t, lib, "third")
	require.NoError(t, lib.SetLog(logDebug, nil)) // off
	openLogged(t, lib, "fourth")
	require.Len(t, got.lines, 1)
	require.True(t, strings.HasPrefix(got.lines[0], "1 device=NULL"), got.lines[0])
	require.True(t, strings.HasSuffix(got.lines[0], " first"))
	require.Len(t, other.lines, 1)
	require.True(t, strings.HasSuffix(other.lines[0], " second"))
	require.Empty(t, logRoutes.handlers)
}

func TestTwoLibrariesLogApart(t *testing.T) {
	a, b := fake(t), fake(t)
	var ofA, ofB logLines
	require.NoError(t, a.SetLog(logInfo, ofA.add))
	require.NoError(t, b.SetLog(logInfo, ofB.add))
	openLogged(t, a, "a")
	openLogged(t, b, "b")
	require.Len(t, ofA.lines, 1)
	require.Len(t, ofB.lines, 1)
	require.NoError(t, a.SetLog(logInfo, nil))
	require.NoError(t, b.SetLog(logInfo, nil))
}

func TestPanicInAHandlerStaysInGo(t *testing.T) {
	lib := fake(t)
	require.NoError(t, lib.SetLog(logInfo, func(int32, string) { panic("planted by a test") }))
	openLogged(t, lib, "x")
	require.NoError(t, lib.SetLog(logInfo, nil))
}

func TestRefusedLevelKeepsTheHandler(t *testing.T) {
	lib := fake(t)
	var got logLines
	require.NoError(t, lib.SetLog(logInfo, got.add))
	require.ErrorIs(t, lib.SetLog(9, func(int32, string) {}), ErrArgument)
	openLogged(t, lib, "x")
	require.Len(t, got.lines, 1)
	require.NoError(t, lib.SetLog(logInfo, nil))
	require.Empty(t, logRoutes.handlers)
}

// purego has room for about 2,000 callbacks in a process and frees none.
func TestManyHandlersUseOneCallback(t *testing.T) {
	lib := fake(t)
	for range 3000 {
		require.NoError(t, lib.SetLog(logInfo, func(int32, string) {}))
	}
	var got logLines
	require.NoError(t, lib.SetLog(logInfo, got.add))
	for range 50 {
		openLogged(t, lib, filepath.Join("a", "model"))
		runtime.GC()
	}
	require.Len(t, got.lines, 50)
	require.NoError(t, lib.SetLog(logInfo, nil))
}
