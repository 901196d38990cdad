package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// measure times pulls and curl in turn. A pull compares the sum, too.
func (w *world) measure(rounds int) {
	url := w.server.Hub.URL + "/" + repo + "/resolve/main/" + fileName
	var ours, curls []float64
	var memory int64
	for i := range rounds + 1 {
		home := filepath.Join(w.dir, "speed")
		c := w.process(home)
		began := time.Now()
		text, err := c.Output()
		check(err)
		mine := time.Since(began).Seconds()
		if !w.right(w.named(home)) {
			w.wrong("speed: not the file")
		}
		check(os.RemoveAll(home))
		began = time.Now()
		curl := exec.Command("curl", "--silent", "--fail", "--location", "--output", filepath.Join(w.dir, "curl"), url) //nolint:gosec // ours
		check(curl.Run())
		his := time.Since(began).Seconds()
		check(os.Remove(filepath.Join(w.dir, "curl")))
		if i == 0 {
			continue // the server's first
		}
		ours, curls = append(ours, mine), append(curls, his)
		var bytes int64
		if n, _ := fmt.Sscan(strings.SplitN(string(text), "\n", 2)[1], &bytes); n == 1 {
			memory = max(memory, bytes)
		}
	}
	median := func(list []float64) float64 { return slices.Sorted(slices.Values(list))[len(list)/2] }
	mib := float64(len(w.data)) / (1 << 20)
	fmt.Printf("%.0f MiB, median of %d: pull with sum %.0f MiB/s, curl %.0f MiB/s, ratio %.2f; largest memory of a pull %.1f MiB\n", mib,
		rounds, mib/median(ours), mib/median(curls), median(curls)/median(ours), float64(memory)/(1<<20))
}
