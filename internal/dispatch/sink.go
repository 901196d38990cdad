package dispatch

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"image"
	_ "image/jpeg" // the sizes of pictures that are there already are read from them
	_ "image/png"
	"path"
	"strconv"
	"strings"
	"sync"

	_ "golang.org/x/image/webp" // as the other formats above

	"github.com/daguerre-go/daguerre/runtime/request"
)

// sink keeps the pictures of a run in work. It is a service.Resumer: what an earlier worker has kept is not made again.
type sink struct {
	t *task

	mine map[string]bool // the service's keys of the pictures of the piece

	mu   sync.Mutex
	have map[string]string // keys in the store, by the service's key of a picture
}

// newSink looks for what is kept already, where an earlier worker may have kept something.
func newSink(ctx context.Context, t *task, run request.Run) (*sink, error) {
	s := &sink{t: t, have: map[string]string{}, mine: map[string]bool{}}
	n := 0
	for j, job := range run.Jobs {
		for i := range max(job.NumImages, 1) {
			if n >= t.Piece.From && n < t.Piece.To {
				s.mine[pictureKey(j, i)] = true
			}
			n++
		}
	}
	if t.Attempts == 1 && t.Turn == 0 && !t.Redelivered() {
		return s, nil
	}
	keys, err := t.w.o.Store.List(ctx, PicturePrefix(t.Owner, t.ID))
	if err != nil {
		return nil, err
	}
	for _, key := range keys {
		if p, ok := ParsePicture(key); ok && s.mine[pictureKey(p.Job, p.Index)] {
			s.have[pictureKey(p.Job, p.Index)] = key
		}
	}
	return s, s.retell(ctx, run)
}

// retell tells of pictures that are kept, but whose worker died before it told of them.
func (s *sink) retell(ctx context.Context, run request.Run) error {
	past, err := s.t.w.o.Queue.Past(ctx, s.t.Owner, s.t.ID, 0)
	if err != nil {
		return err
	}
	told := map[string]bool{}
	for _, e := range past {
		if e.Name == eventImage {
			told[string(imageKey(e.Data))] = true
		}
	}
	for k, key := range s.have {
		if told[k] {
			continue
		}
		p, _ := ParsePicture(key)
		data, err := s.t.w.o.Store.Get(ctx, key)
		if err != nil {
			return err
		}
		size, format, err := image.DecodeConfig(bytes.NewReader(data))
		if err != nil || p.Job >= len(run.Jobs) {
			continue // it is no picture of this run
		}
		s.t.tell(eventImage, "image."+k, Image{Job: p.Job, Index: p.Index, Seed: run.Jobs[p.Job].Seed + int64(p.Index), Width: size.Width,
			Height: size.Height, Format: format, Bytes: len(data), SHA256: p.Sum})
	}
	return nil
}

func (s *sink) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.have)
}

// missing counts the pictures of a job that are to be made.
func (s *sink) missing(job int) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key := range s.mine {
		if j, _, _ := readPictureKey(key); j == job && s.have[key] == "" {
			n++
		}
	}
	return n
}

// Put implements service.Store.
func (s *sink) Put(ctx context.Context, key, name string, data []byte) (string, error) {
	job, index, ok := readPictureKey(key)
	if !ok {
		return "", fmt.Errorf("%s is no picture", key)
	}
	sum := sha256.Sum256(data)
	place := fmt.Sprintf("%s%d.%d.%s%s", PicturePrefix(s.t.Owner, s.t.ID), job, index, hex.EncodeToString(sum[:]), path.Ext(name))
	if err := s.t.w.o.Store.Put(ctx, place, data); err != nil {
		s.t.away(err)
		return "", err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.have[key] = place
	return place, nil
}

// Have implements service.Resumer. Pictures of other pieces are not to be made, as if they were there.
func (s *sink) Have(key string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.have[key] != "" || !s.mine[key]
}

// errLatents is returned for latents, which the server does not keep.
var errLatents = errors.New("latents are not kept")

// Keep implements service.Resumer.
func (s *sink) Keep(string, []byte) error { return errLatents }

// Kept implements service.Resumer.
func (s *sink) Kept(string) ([]byte, error) { return nil, errLatents }

// Drop implements service.Resumer.
func (s *sink) Drop(string) {}

// pictureKey is the service's key of a picture.
func pictureKey(job, index int) string { return fmt.Sprintf("%d/%d", job, index) }

func readPictureKey(key string) (job, index int, ok bool) {
	a, b, ok := strings.Cut(key, "/")
	job, err := strconv.Atoi(a)
	index, err2 := strconv.Atoi(b)
	return job, index, ok && err == nil && err2 == nil
}

// PicturePrefix begins the keys of a run's pictures in the store.
func PicturePrefix(owner, id string) string { return "pictures/" + owner + "/" + id + "/" }

// Picture is a picture in the store.
type Picture struct {
	Key        string
	Job, Index int
	Sum        string // SHA-256 of the file, in hexadecimal
	Format     string // png, jpeg or webp
}

// ParsePicture reads the key of a picture.
func ParsePicture(key string) (Picture, bool) {
	parts := strings.Split(path.Base(key), ".")
	if len(parts) != 4 {
		return Picture{}, false
	}
	job, err := strconv.Atoi(parts[0])
	index, err2 := strconv.Atoi(parts[1])
	p := Picture{Key: key, Job: job, Index: index, Sum: parts[2], Format: strings.Replace(parts[3], "jpg", "jpeg", 1)}
	return p, err == nil && err2 == nil && len(p.Sum) == 2*sha256.Size
}

// extension is that of a picture's file: of the format that is asked for, else of the name that the job gives.
func extension(format, output string) string {
	if format == "" {
		format = strings.TrimPrefix(strings.ToLower(path.Ext(output)), ".")
	}
	switch format {
	case "jpeg", "jpg":
		return "jpg"
	case "webp":
		return "webp"
	}
	return "png"
}
