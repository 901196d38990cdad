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
	halves   halves
	separate bool // the halves one after the other
}
