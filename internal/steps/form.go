package steps

// halves says which halves of guidance are evaluated.
type halves int

const (
	both halves = iota
	positiveHalf
	negativeHalf // of what has one; otherwise the positive half
)

// form is a way to ask the UNet.
type form struct {
	halves    halves
	separate  bool // the halves one after the other
	perturbed perturbed
}

// perturbed says which perturbed rows an evaluation has, behind the positive ones: a row for each picture.
type perturbed struct {
	identity, blurred bool // PAG's and SEG's
}

// kinds is how many rows a picture has of them.
func (p perturbed) kinds() (n int) {
	for _, on := range []bool{p.identity, p.blurred} {
		if on {
			n++
		}
	}
	return n
}
