package request

import (
	"cmp"
	"fmt"
	"math"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/daguerre-go/daguerre/internal/words"
	"github.com/daguerre-go/daguerre/runtime/lora"
)

// The limits of a request. They are far above what any SDXL model can use and keep sums of sizes within range.
const (
	MaxSide        = 16384     // pixels
	MaxPixels      = 64 << 20  // of one picture
	MaxSteps       = 1000      // SDXL was trained on this many noise levels
	MaxImages      = 10000     // per request
	maxPromptBytes = 64 << 10  // about 12,000 words
	maxCoordinate  = 1_000_000 // pixels, of size conditioning

	minVAETile = 256 // pixels: less than what the VAE sees around a pixel, and tiles would show
)

// limit is the range of a number, and what it must be a multiple of. An integer of 0 is not given.
type limit struct {
	min, max float64
	multiple int
}

// part is the limit of a part of the schedule.
var part = limit{0, below1, 0}

// below1 is the largest number below 1.
var below1 = math.Nextafter(1, 0)

// limits are those that several keys have, or that package lora sets, by the name that keys.json has for them.
var limits = map[string]limit{
	"share": {0, 1, 0}, "part": part, "side": {0, MaxSide, 8}, "steps": {0, MaxSteps, 0}, "images": {0, MaxImages, 0},
	"adapter weight": {-lora.MaxWeight, lora.MaxWeight, 0}, "adapters": {0, lora.MaxAdapters, 0}, "cache size": {0, lora.MaxCacheSize, 0},
	"idle seconds": {math.MinInt32, lora.MaxIdleSeconds, 0}, "cache MiB": {0, lora.MaxMemoryLimitMB, 0},
}

// limitOf is the range of a number by its path.
func limitOf(path string) (l limit, limited bool) {
	r := known.Keys[path]
	if r.Range != nil {
		return limit{r.Range[0], r.Range[1], 0}, true
	}
	l, limited = limits[r.Limit]
	return l, limited
}

// forms are what else texts have to be, by the name that keys.json has for them.
var forms = map[string]func(c checker, key, s string){"text": checker.text, "name": checker.name, "path": checker.path,
	"device": checker.device, "devices": checker.devices, "amount": checker.amount}

// checker adds errors for one struct; at turns a key into its path.
type checker struct {
	errs *Errors
	at   func(key string) string
	// faulty: some of what was written could not be read, so that what seems to be missing may be among it
	faulty bool
}

func (c checker) fail(key, format string, args ...any) { c.errs.Add(c.at(key), format, args...) }

// lacks is fail for what is not given.
func (c checker) lacks(key, format string, args ...any) {
	if !c.faulty {
		c.fail(key, format, args...)
	}
}

// within is the checker of a table within.
func (c checker) within(key string) checker {
	return checker{c.errs, func(inner string) string { return c.at(key + "." + inner) }, c.faulty}
}

// table holds a struct against its own rules, which its validate method has, and each field against its. path is the
// struct's name as Key.Table has it. Errors come in the order of the fields.
func (c checker) table(v reflect.Value, path string) {
	var own Errors
	if t, ok := v.Interface().(interface{ validate(c checker) }); ok { // a copy of the struct
		t.validate(checker{&own, asWritten, c.faulty})
	}
	for _, f := range fieldsOf(v.Type()) {
		for _, e := range own {
			if rootOf(e.Path) == f.name {
				c.fail(e.Path, "%s", e.Message)
			}
		}
		x := reflect.Indirect(v.Field(f.index))
		if !x.IsValid() || x.IsZero() {
			continue // which is not given, and every rule lets it be
		}
		path := join(path, f.name)
		switch {
		case f.table:
			c.within(f.name).table(x, path)
		case f.tables:
			for i := range x.Len() {
				c.within(fmt.Sprintf("%s[%d]", f.name, i)).table(x.Index(i), path)
			}
		default:
			c.value(f.name, path, x.Interface())
		}
	}
}

func asWritten(key string) string { return key }

// rootOf is the key that a path begins with: lora of lora[1].weight.
func rootOf(path string) string {
	root, _, _ := strings.Cut(path, ".")
	root, _, _ = strings.Cut(root, "[")
	return root
}

// value holds one value against the rules of its path.
func (c checker) value(key, path string, value any) {
	l, limited := limitOf(path)
	limited = limited && !known.Keys[path].Elsewhere
	switch x := value.(type) {
	case string:
		if words := wordsOf(path); words != nil {
			c.oneOf(key, x, words)
		} else if form, ok := forms[known.Keys[path].Is]; ok {
			form(c, key, x)
		}
	case []string:
		for i, s := range x {
			c.path(fmt.Sprintf("%s[%d]", key, i), s)
		}
	case int:
		if limited && l.multiple > 0 {
			c.side(key, x)
		} else if limited {
			c.between(key, x, int(l.min), int(l.max))
		}
	case float64:
		switch {
		case path == "hires.scale": // which has to be above 1
		case limited && l == part:
			c.fraction(key, x)
		case limited:
			c.real(key, x, l.min, l.max)
		}
	case Size:
		if x != (Size{}) && (min(x.Height, x.Width) < 1 || max(x.Height, x.Width) > maxCoordinate) {
			c.fail(key, "is [%d, %d]; [height, width] must be between 1 and %d", x.Height, x.Width, maxCoordinate)
		}
	case Point:
		if max(x.Top, x.Left, -x.Top, -x.Left) > maxCoordinate {
			c.fail(key, "is [%d, %d]; [top, left] must be within %d", x.Top, x.Left, maxCoordinate)
		}
	case Picture:
		c.path(key, x.Path)
	case Array:
		c.path(key, x.Path)
		c.array(key, x)
	}
}

// array checks values that are in memory; a file's are checked when it is read.
func (c checker) array(key string, a Array) {
	if a.Data == nil {
		return
	}
	count := 1
	for _, d := range a.Shape {
		if d <= 0 || count > MaxImages*MaxPixels/d {
			c.fail(key, "shape %v is impossible", a.Shape)
			return
		}
		count *= d
	}
	if count != len(a.Data) {
		c.fail(key, "shape %v has %d values, not the %d given", a.Shape, count, len(a.Data))
	}
	if err := a.CheckValues(); err != nil {
		c.fail(key, "%v", err)
	}
}

// maxArrayValue is far above any noise or latents: noise at the highest level that schedulers have is some tens of thousands.
const maxArrayValue = 1e6

// CheckValues returns an error that tells of the first value that no noise or latents have: NaN, infinity, or one that is far too large.
func (a Array) CheckValues() error {
	for i, x := range a.Data {
		switch v := math.Abs(float64(x)); {
		case math.IsNaN(v) || math.IsInf(v, 0):
			return fmt.Errorf("value %d is %v; all must be finite", i, x)
		case v > maxArrayValue:
			return fmt.Errorf("value %d is %v; no noise or latents are above %g: the file is damaged", i, x, float64(maxArrayValue))
		}
	}
	return nil
}

// fraction checks a part of the schedule: 0 (not given) or less than the whole.
func (c checker) fraction(key string, x float64) {
	if !(x >= 0 && x < 1) {
		c.fail(key, "is %v; it must be above 0 and below 1, or left out", x)
	}
}

func (c checker) text(key, s string) {
	c.short(key, s, maxPromptBytes, "has %d bytes; at most %d are possible", len(s), maxPromptBytes)
}

func (c checker) path(key, s string) {
	c.short(key, s, 4096, "a path of %d bytes is too long; at most 4096 are possible", len(s))
}

func (c checker) name(key, s string) { c.short(key, s, 128, "a name of %d bytes is too long", len(s)) }

// short checks a text's length, and that it is one.
func (c checker) short(key, s string, most int, format string, args ...any) {
	if len(s) > most {
		c.fail(key, format, args...)
		return
	}
	for i, r := range s {
		if r == utf8.RuneError {
			if _, n := utf8.DecodeRuneInString(s[i:]); n == 1 {
				c.fail(key, "byte %d is not valid UTF-8 (%#02x); save the text as UTF-8", i, s[i])
				return
			}
		}
	}
	if i := strings.IndexByte(s, 0); i >= 0 {
		c.fail(key, "byte %d is NUL; remove it", i)
	}
}

var deviceName = regexp.MustCompile(`^(auto|[a-z]{2,16}(:[0-9]{1,3})?)$`)

func (c checker) device(key, s string) {
	if s != "" && !deviceName.MatchString(s) {
		c.fail(key, "%s is no device; expected auto, cpu, vulkan:0, cuda:0, ... (see `daguerre devices`)", clip(s))
	}
}

// devices checks a list of devices that share the pictures.
func (c checker) devices(key, s string) {
	list := strings.Split(s, ",")
	for i, name := range list {
		kind, _, _ := strings.Cut(name, ":")
		first, _, _ := strings.Cut(list[0], ":")
		switch {
		case s != "" && !deviceName.MatchString(name):
			c.device(key, cmp.Or(name, " "))
			return
		case len(list) > 1 && kind == "auto":
			c.fail(key, "is %s; auto chooses one device, so name each device of a list", clip(s))
			return
		case kind != first:
			c.fail(key, "is %s; devices that share pictures must be of one kind, because other kinds round differently", clip(s))
			return
		case slices.Contains(list[:i], name):
			c.fail(key, "is %s, which names %s twice", clip(s), name)
			return
		}
	}
}

func (c checker) amount(key, s string) {
	if _, err := ParseAmount(s); err != nil {
		c.fail(key, "is %v", err)
	}
}

func (c checker) side(key string, n int) {
	switch {
	case n == 0:
	case n < 0 || n > MaxSide:
		c.fail(key, "is %d; it must be between 8 and %d", n, MaxSide)
	case n%8 != 0:
		low := max(n/8*8, 8)
		c.fail(key, "is %d, which is no multiple of 8; the nearest are %d and %d", n, low, n/8*8+8)
	}
}

func (c checker) between(key string, n, low, high int) {
	if n < low || n > high {
		c.fail(key, "is %d; it must be between %d and %d", n, max(low, 1), high)
	}
}

func (c checker) real(key string, x, low, high float64) {
	if !(x >= low && x <= high) {
		c.fail(key, "is %v; it must be a number between %v and %v", x, low, high)
	}
}

func (c checker) oneOf(key, s string, names []string) {
	if s != "" && !slices.Contains(names, s) {
		c.fail(key, "%s is unknown%s; expected one of %s", clip(s), words.DidYouMean(s, names), strings.Join(names, ", "))
	}
}
