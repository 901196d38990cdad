package bench

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"github.com/daguerre-go/daguerre/internal/words"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// reuseKeys are the ways that ReadReuse knows, as request.Reuse has them, and the interval of guidance.
var reuseKeys = []string{"deepcache", "easycache", "ucache", "spectrum", "tgate", "interval"}

// ReadReuse sets what of the UNet's evaluations a request leaves out, from a text: "deepcache=3", "deepcache=3:1" with a branch,
// "easycache=0.2", "ucache=1", "spectrum=2", "tgate=15", "interval=0.2:0.8" for guidance, or several with + between them. The empty text
// leaves nothing out.
func ReadReuse(text string, r *request.Request) error {
	if text == "" {
		return nil
	}
	for part := range strings.SplitSeq(text, "+") {
		key, value, _ := strings.Cut(part, "=")
		first, second, two := strings.Cut(value, ":")
		x, err := strconv.ParseFloat(first, 64)
		y, err2 := strconv.ParseFloat(second, 64)
		if err != nil || two && err2 != nil || two != (key == "interval") && key != "deepcache" {
			return fmt.Errorf("%s is no way to leave something out; give deepcache=3, deepcache=3:1, easycache=0.2, ucache=1, spectrum=2, tgate=15 "+
				"or interval=0.2:0.8", words.Clip(part))
		}
		switch key {
		case "deepcache":
			r.Reuse.DeepCache, r.Reuse.Branch = int(x), int(y)
		case "easycache":
			r.Reuse.EasyCache = x
		case "ucache":
			r.Reuse.UCache = x
		case "spectrum":
			r.Reuse.Spectrum = int(x)
		case "tgate":
			r.Reuse.TGate = int(x)
		case "interval":
			r.GuidanceStart, r.GuidanceStop = x, &y
		default:
			return fmt.Errorf("%s is unknown%s; expected one of %s", words.Clip(key), words.DidYouMean(key, reuseKeys),
				strings.Join(reuseKeys, ", "))
		}
	}
	if way := r.Reuse.Way(); way == "" && !reflect.ValueOf(r.Reuse).IsZero() {
		return fmt.Errorf("%s leaves nothing out", words.Clip(text))
	}
	check := *r
	check.Prompt = request.NoPrompt
	return check.Validate()
}
