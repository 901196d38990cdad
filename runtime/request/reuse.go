package request

import "slices"

// The parts of the steps that stand for an absent Reuse.Start and Reuse.Stop.
const (
	defaultReuseStart = 0.15
	defaultReuseStop  = 0.95
)

// Reuse leaves out work of the UNet, and takes what earlier steps computed in its place: the [reuse] table. Its zero value leaves nothing
// out. At most one of the ways is given. Pictures come out a little different, and manifests say why.
type Reuse struct {
	DeepCache int     `json:"deepcache,omitempty" key:"deepcache" default:"0"`
	Branch    int     `json:"deepcache_branch,omitempty" key:"deepcache_branch" default:"0"`
	EasyCache float64 `json:"easycache,omitempty" key:"easycache" default:"0.0"`
	UCache    float64 `json:"ucache,omitempty" key:"ucache" default:"0.0"`
	Spectrum  int     `json:"spectrum,omitempty" key:"spectrum" default:"0"`
	TGate     int     `json:"tgate,omitempty" key:"tgate" default:"0"`

	Start *float64 `json:"start,omitempty" key:"start" default:"0.15"`
	Stop  *float64 `json:"stop,omitempty" key:"stop" default:"0.95"`
}

// ways lists the ways that a Reuse asks for, by their keys. An interval of 1 is none.
func (u Reuse) ways() (out []string) {
	for _, w := range []struct {
		key string
		on  bool
	}{{"deepcache", u.DeepCache > 1}, {"easycache", u.EasyCache > 0}, {"ucache", u.UCache > 0}, {"spectrum", u.Spectrum > 1},
		{"tgate", u.TGate > 0}} {
		if w.on {
			out = append(out, w.key)
		}
	}
	return out
}

// Way is the key of the way that is asked for; "" for none.
func (u Reuse) Way() string {
	if ways := u.ways(); len(ways) > 0 {
		return ways[0]
	}
	return ""
}

// Filled returns u with every default filled in.
func (u Reuse) Filled() Reuse {
	if u.timed() {
		if u.Start == nil {
			u.Start = new(defaultReuseStart)
		}
		if u.Stop == nil {
			u.Stop = new(defaultReuseStop)
		}
	}
	return u
}

// timed reports whether Start and Stop have a meaning.
func (u Reuse) timed() bool { return slices.Contains([]string{"easycache", "ucache"}, u.Way()) }

func (r Request) validateReuse(c checker) {
	u := r.Reuse
	if ways := u.ways(); len(ways) > 1 {
		c.fail("reuse", "has both %s and %s; leave one of them out", ways[0], ways[1])
	}
	if u.Branch != 0 && u.DeepCache == 0 {
		c.lacks("reuse.deepcache_branch", "there is no deepcache that it could apply to; set one, such as 3, or leave it out")
	}
	if (u.Start != nil || u.Stop != nil) && !u.timed() {
		c.lacks("reuse", "has start or stop, which only easycache and ucache have; give one of them, or leave them out")
	}
	if f := u.Filled(); u.timed() && *f.Start >= *f.Stop {
		c.fail("reuse.start", "is %v, not before stop, which is %v: nothing would be left out", *f.Start, *f.Stop)
	}
	if r.GuidanceStop != nil && r.GuidanceStart > 0 && r.GuidanceStart >= *r.GuidanceStop {
		c.fail("guidance_start", "is %v, not before guidance_stop, which is %v; for no guidance, set guidance_scale to 1", r.GuidanceStart,
			*r.GuidanceStop)
	}
}

// GuidanceInterval reports whether a part of the steps is made without guidance.
func (r Request) GuidanceInterval() bool {
	return r.GuidanceStart > 0 || r.GuidanceStop != nil && *r.GuidanceStop < 1
}

// GuidedAt reports whether step i of n, from 0, is guided, where guidance_scale asks for guidance. It counts as diffusers' guiders do.
func (r Request) GuidedAt(i, n int) bool {
	stop := 1.0
	if r.GuidanceStop != nil {
		stop = *r.GuidanceStop
	}
	return i >= int(r.GuidanceStart*float64(n)) && i < int(stop*float64(n))
}
