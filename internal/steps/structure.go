package steps

import (
	"fmt"
	"strings"

	"github.com/daguerre-go/daguerre/runtime/controlnet"
)

// addend is an adapter that acts on the rows from first on.
type addend struct {
	*Control
	index, first int
}

// adapters sums up what the T2I-Adapters that act in evaluation i add to input k, as diffusers' MultiAdapter does.
func (g *guided) adapters(k int, b *Batch, i int) {
	in := &g.inputs[k]
	in.Blocks, in.BlockRows = nil, 0
	if g.refiner {
		return
	}
	rows := in.Sample.Shape[0]
	positive := g.positive(k, rows, b)
	var acting []addend
	var all, here strings.Builder
	fmt.Fprint(&all, b.second, " ", b.at)
	for index, c := range b.lead().Controls {
		if !c.isT2I() || !c.acts(i, b.controlSteps) {
			continue
		}
		fmt.Fprint(&all, " ", index)
		a := addend{Control: c, index: index}
		if c.spec.Mode == controlnet.Control {
			a.first = positive
		}
		if a.first < rows {
			acting = append(acting, a)
			fmt.Fprint(&here, " ", index, ":", a.first)
		}
	}
	if len(acting) == 0 {
		return
	}
	if b.blocks.acting != all.String() {
		*b.blocks = blocks{acting: all.String(), sums: map[string]blockSum{}}
	}
	each := 1 // row for all, if the same is added to all
	for _, a := range acting {
		if a.first > 0 {
			each = rows
		}
	}
	key := fmt.Sprint(each, here.String())
	sum, ok := b.blocks.sums[key]
	if !ok {
		u := g.model.Info.UNet
		shapes := u.BlockShapes(b.Height, b.Width)
		sum = blockSum{each, make([]float32, each*u.BlockCount(b.Height, b.Width))}
		for _, a := range acting {
			a.addTo(sum, shapes, b)
		}
		b.blocks.sums[key] = sum
	}
	in.Blocks, in.BlockRows = sum.values, sum.rows
}

// addTo adds an adapter's scaled features to the rows that it acts on.
func (a addend) addTo(sum blockSum, shapes [][3]int, b *Batch) {
	hint := a.hint
	if b.second { // which may have more tiles
		hint = a.Control.second
	}
	from, to := hint[b.at].Data, sum.values
	for block, s := range shapes {
		n := s[0] * s[1] * s[2]
		for row := a.first; row < sum.rows; row++ {
			out := to[row*n : (row+1)*n]
			for i, v := range from[:n] {
				out[i] += a.scales[block] * v
			}
		}
		from, to = from[n:], to[sum.rows*n:]
	}
}
