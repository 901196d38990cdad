package worker

import (
	"bufio"
	"bytes"
	"errors"
	"io"

	"github.com/daguerre-go/daguerre/internal/service"
	"github.com/daguerre-go/daguerre/internal/words"
)

// errLineTooLong is returned for a line above the limit, whose beginning is returned with it.
var errLineTooLong = errors.New("the line is too long")

// lineReader reads lines of bounded length. What is longer is read over without being kept.
type lineReader struct {
	r     *bufio.Reader
	limit int
	count int // lines so far
}

func newLineReader(r io.Reader, limit int) *lineReader {
	return &lineReader{r: bufio.NewReaderSize(r, 64<<10), limit: limit}
}

// next returns the next line that is not blank, without its line end. A byte order mark at the beginning of the stream is skipped. With
// errLineTooLong it returns the beginning of the line.
func (l *lineReader) next() ([]byte, error) {
	for {
		line, err := l.line()
		if l.count == 1 {
			line = words.WithoutBOM(line)
		}
		if err != nil || len(bytes.TrimSpace(line)) > 0 {
			return line, err
		}
	}
}

func (l *lineReader) line() ([]byte, error) {
	var line []byte
	tooLong, some := false, false
	for {
		part, err := l.r.ReadSlice('\n')
		some = some || len(part) > 0
		if !tooLong {
			if keep := l.limit + 1 - len(line); len(part) > keep { // one more for the line's end
				line, tooLong = append(line, part[:keep]...), true
			} else {
				line = append(line, part...)
			}
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
		case err == nil || errors.Is(err, io.EOF) && some:
			l.count++
			if tooLong {
				return line[:min(len(line), 4096)], errLineTooLong
			}
			return bytes.TrimRight(line, "\r\n"), nil
		default:
			return nil, err
		}
	}
}

// tooLong answers a line above the limit.
func tooLong(limit int) *service.Error {
	return service.Errorf(codeLineTooLong, "the line is longer than %d bytes; send files by their paths, or raise --max-line", limit)
}
