package dispatch

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/daguerre-go/daguerre/internal/durable"
)

// TestSpeed looks every two seconds at a worker that makes batches. At no time is the speed that it tells far from the true one, though all
// pictures of a batch come at its end.
func TestSpeed(t *testing.T) {
	const batch = 16
	for name, c := range map[string]struct {
		compute, decode time.Duration // of a batch; of a picture
		off             float64       // as a part of the speed
	}{
		"slow":              {26 * time.Second, 200 * time.Millisecond, 0.08},
		"fast":              {5 * time.Second, 100 * time.Millisecond, 0.2}, // it is looked at only a few times in a batch
		"without any pause": {0, 500 * time.Millisecond, 0.1},
	} {
		teller := teller{paces: map[string]*pace{}, opening: map[string]float64{}}
		began := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
		whole := c.compute + batch*c.decode
		told := 0
		for at := time.Duration(0); at < 5*time.Minute; at += durable.PresentEvery {
			made := int(at/whole) * batch
			if rest := at % whole; rest > c.compute {
				made += int((rest - c.compute) / c.decode)
			}
			if speed, ok := teller.speed(began.Add(at), []string{"x"}, true, made)["x"]; ok {
				assert.InEpsilon(t, batch/whole.Seconds(), speed, c.off, "%s at %s", name, at)
				told++
			}
		}
		assert.Greater(t, told, 50, name)
	}
}
