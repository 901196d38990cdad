package service

import (
	"bufio"
	"fmt"
	"os"
	"os/signal"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestTerminate: a child that is asked to end ends. A console's Ctrl-Break, which Go's signal package tells as an interrupt, lets it end by
// itself. Without a console, and under Wine 8, which cannot send the event, it is killed. One that does not listen is killed in any case.
func TestTerminate(t *testing.T) {
	const child = "DAGUERRE_TEST_TERMINATE"
	if how := os.Getenv(child); how != "" {
		signals := make(chan os.Signal, 1)
		if how == "deaf" {
			signal.Ignore(os.Interrupt)
		} else {
			signal.Notify(signals, os.Interrupt)
		}
		fmt.Println("ready")
		select {
		case s := <-signals:
			fmt.Println("got", s)
			os.Exit(7)
		case <-time.After(5 * time.Minute):
		}
		return
	}
	for how, allowed := range map[string][]string{"listens": {"got interrupt", ""}, "deaf": {""}} {
		p, err := StartProcess([]string{os.Args[0], "-test.run=^TestTerminate$"}, []string{child + "=" + how}, os.Stderr)
		require.NoError(t, err)
		lines := bufio.NewScanner(p.Out)
		require.True(t, lines.Scan())
		require.Equal(t, "ready", lines.Text())
		p.Terminate(2 * time.Second)
		said := ""
		for lines.Scan() {
			said += lines.Text()
		}
		err = p.Wait()
		require.Error(t, err, "its exit code is not 0")
		assert.Contains(t, allowed, said, how)
		t.Logf("%s: said %q, %v", how, said, err)
	}
}
