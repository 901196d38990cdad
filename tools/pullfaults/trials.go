package main

import (
	"bytes"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/daguerre-go/daguerre/internal/hubtest"
)

// trouble is what the server does to downloads.
type trouble struct {
	mu            sync.Mutex
	random        *rand.Rand
	slow          bool // a connection brings about 100 MB a second, so that a pull takes several
	cuts, stalls  int  // that are left to do
	cutN, stalled int  // that were done
}

// fault cuts or stalls a download somewhere.
func (t *trouble) fault(data []byte) hubtest.Fault {
	return func(_ int, w http.ResponseWriter, r *http.Request) bool {
		if len(r.URL.Path) != 65 { // only those of the large file
			return false
		}
		t.mu.Lock()
		at := t.random.IntN(1 << 24)
		stall := t.stalls > 0 && t.random.IntN(3) == 0
		cut := !stall && t.cuts > 0 && t.random.IntN(2) == 0
		if stall {
			t.stalls--
			t.stalled++
		} else if cut {
			t.cuts--
			t.cutN++
		}
		t.mu.Unlock()
		if !stall && !cut && !t.slow {
			return false
		}
		if !stall && !cut {
			at = len(data) + 1
		}
		s := &stopping{ResponseWriter: w, left: at, stall: stall, r: r}
		if t.slow {
			s.ResponseWriter = &slow{ResponseWriter: w}
		}
		hubtest.Serve(s, r, data)
		return true
	}
}

// stopping ends a connection after some bytes, or leaves it silent.
type stopping struct {
	http.ResponseWriter
	left  int
	stall bool
	r     *http.Request
}

func (s *stopping) Write(p []byte) (int, error) {
	n := min(len(p), s.left)
	if _, err := s.ResponseWriter.Write(p[:n]); err != nil {
		return n, err
	}
	if s.left -= n; s.left > 0 {
		return n, nil
	}
	s.ResponseWriter.(http.Flusher).Flush()
	if s.stall {
		<-s.r.Context().Done()
	}
	panic(http.ErrAbortHandler)
}

// slow brings about 100 MB a second.
type slow struct {
	http.ResponseWriter
	sent int
}

func (s *slow) Write(p []byte) (int, error) {
	const step = 1 << 20
	if s.sent/step != (s.sent+len(p))/step {
		time.Sleep(10 * time.Millisecond)
	}
	s.sent += len(p)
	return s.ResponseWriter.Write(p)
}

func (s *slow) Flush() { s.ResponseWriter.(http.Flusher).Flush() }

// interrupted pulls n times, and interrupts each pull at random.
func (w *world) interrupted(n int) {
	random := rand.New(rand.NewPCG(w.seed, 2)) //nolint:gosec // it is to be repeatable
	kills, cuts, stalls, runs := 0, 0, 0, 0
	began := time.Now()
	for i := range n {
		home := filepath.Join(w.dir, fmt.Sprintf("home%d", i))
		r := rand.New(rand.NewPCG(w.seed, uint64(i)+10)) //nolint:gosec // as above
		t := &trouble{random: r, slow: i%2 == 1, cuts: random.IntN(4), stalls: random.IntN(2)}
		w.server.SetFault(t.fault(w.data))
		longest := 300 // ms, about as long as a pull takes
		if t.slow {
			longest = 900
		}
		toKill := 1 + random.IntN(3)
		for try := 0; ; try++ {
			c := w.process(home)
			var out, errs bytes.Buffer
			c.Stdout, c.Stderr = &out, &errs
			check(c.Start())
			var timer *time.Timer
			if try < toKill {
				timer = time.AfterFunc(time.Duration(random.IntN(longest))*time.Millisecond, func() { _ = c.Process.Kill() }) // it may have ended
			}
			err := c.Wait()
			runs++
			if timer != nil {
				timer.Stop()
			}
			if _, there := os.Lstat(w.named(home)); there == nil && !w.right(w.named(home)) {
				w.wrong("pull %d: a name stands for other bytes", i)
			}
			if err == nil {
				if path, _, _ := strings.Cut(out.String(), "\n"); !w.right(path) {
					w.wrong("pull %d: %s is not the file", i, path)
				}
				break
			}
			if exit, ok := err.(*exec.ExitError); !ok || !exit.Sys().(syscall.WaitStatus).Signaled() {
				w.wrong("pull %d failed: %v: %s", i, err, errs.String())
				break
			}
			kills++
		}
		cuts, stalls = cuts+t.cutN, stalls+t.stalled
		if left := parts(home); len(left) > 0 {
			w.wrong("pull %d left %v", i, left)
		}
		check(os.RemoveAll(home))
	}
	w.server.SetFault(nil)
	fmt.Printf("%d pulls of %d bytes, in %d processes: %d killed, %d connections cut, %d stalled; all right but %d (%s)\n", n, len(w.data),
		runs, kills, cuts, stalls, w.failures, time.Since(began).Round(time.Second))
}

// parts lists what is left of downloads.
func parts(home string) (out []string) {
	_ = filepath.WalkDir(home, func(path string, d fs.DirEntry, err error) error { // what is not there is not left
		if err == nil && !d.IsDir() && strings.Contains(d.Name(), ".daguerre") {
			out = append(out, path)
		}
		return nil
	})
	return out
}

// together lets processes pull the same at once.
func (w *world) together() {
	home := filepath.Join(w.dir, "together")
	w.server.Requests()
	var wait sync.WaitGroup
	for range 3 {
		wait.Go(func() {
			if text, err := w.process(home).CombinedOutput(); err != nil {
				fmt.Printf("WRONG: %v: %s\n", err, text)
			}
		})
	}
	wait.Wait()
	asked := map[string]int{}
	for _, r := range w.server.Requests() {
		if r.CDN {
			asked[r.Range]++
		}
	}
	for part, times := range asked {
		if times > 1 {
			w.wrong("together: %q was fetched %d times", part, times)
		}
	}
	if !w.right(w.named(home)) || len(parts(home)) > 0 {
		w.wrong("together: not one right copy")
	}
	fmt.Println("3 processes at once: each part was fetched once")
	check(os.RemoveAll(home))
}

// moved moves the branch, and then changes the bytes behind the commit, during a pull.
func (w *world) moved() {
	home := filepath.Join(w.dir, "moved")
	other := hubtest.Safetensors(w.seed+1, len(w.data))
	var once sync.Once
	w.server.SetFault(func(_ int, _ http.ResponseWriter, r *http.Request) bool {
		if len(r.URL.Path) == 65 {
			once.Do(func() { w.server.Commit(repo, "main", map[string][]byte{fileName: other}) })
		}
		return false
	})
	text, err := w.process(home).CombinedOutput()
	if err != nil || !w.right(w.named(home)) || !strings.Contains(string(text), "main has moved on") {
		w.wrong("moved: %v: %s", err, text)
	}
	check(os.RemoveAll(home))
	w.server.SetFault(func(n int, rw http.ResponseWriter, r *http.Request) bool {
		if len(r.URL.Path) != 65 {
			return false
		}
		data := w.data
		if n > 2 {
			data = other
		}
		hubtest.Serve(&slow{ResponseWriter: rw}, r, data)
		return true
	})
	w.server.Commit(repo, "main", map[string][]byte{fileName: w.data})
	text, err = w.process(home).CombinedOutput()
	if _, there := os.Lstat(w.named(home)); err == nil || there == nil {
		w.wrong("changed: %v: %s", err, text)
	}
	w.server.SetFault(nil)
	fmt.Println("a branch that moves on is told; other bytes in the middle of a pull get no name")
	check(os.RemoveAll(home))
}

// full pulls onto disks that are too small, and onto one that becomes full.
func (w *world) full() {
	home := filepath.Join(w.dir, "full")
	check(os.MkdirAll(home, 0o755))
	mib := len(w.data)>>20 + 1
	for _, c := range []struct {
		name string
		mib  int
		fill int // MiB that somebody else writes during the pull
		says string
	}{{"too small", mib / 2, 0, "not enough disk space"}, {"becomes full", mib + 80, mib / 2, "no space left on device"}} {
		mount := exec.Command("mount", "-t", "tmpfs", "-o", fmt.Sprintf("size=%dm", c.mib), "tmpfs", home) //nolint:gosec // numbers
		if err := mount.Run(); err != nil {
			fmt.Println("full disks: not tried, since this user may not mount a tmpfs")
			return
		}
		var once sync.Once
		w.server.SetFault(func(_ int, _ http.ResponseWriter, r *http.Request) bool {
			if c.fill > 0 && len(r.URL.Path) == 65 {
				once.Do(func() { _ = os.WriteFile(filepath.Join(home, "other"), make([]byte, c.fill<<20), 0o600) })
			}
			return false
		})
		text, err := w.process(home).CombinedOutput()
		left := parts(home)
		if err == nil || !strings.Contains(string(text), c.says) || len(left) > 0 {
			w.wrong("a disk that is %s: %v: %s; left %v", c.name, err, text, left)
		}
		check(exec.Command("umount", home).Run())
	}
	w.server.SetFault(nil)
	fmt.Println("a disk that is too small is told before; one that becomes full leaves nothing")
}
