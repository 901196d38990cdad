package modelfile

import (
	"fmt"
	"strings"

	"github.com/daguerre-go/daguerre/runtime/backend"
)

// DetectorDims describes YOLOv8's detection network. Its sizes n, s, m, l and x differ in these numbers only.
type DetectorDims struct {
	Widths     []int `json:"widths"`      // of the backbone's five stages: 16 32 64 128 256 for n
	Blocks     []int `json:"blocks"`      // bottlenecks of the last four: 1 2 2 1
	NeckBlocks []int `json:"neck_blocks"` // of the neck's four: 1 1 1 1
	BoxWidth   int   `json:"box_width"`   // inside the head: 64
	ClassWidth int   `json:"class_width"` // 80
	Bins       int   `json:"bins"`        // of the distribution of a box's side: 16
	Classes    int   `json:"classes"`     // 80
	Fused      bool  `json:"fused"`       // the batch norms are part of the convolutions
}

// The network's layers by their numbers in the file.
var (
	yoloHalves  = []int{0, 1, 3, 5, 7} // convolutions at the start of the stages
	yoloStages  = []int{2, 4, 6, 8}
	yoloNeck    = []int{12, 15, 18, 21}
	yoloDown    = []int{16, 19}
	yoloPyramid = 9
	yoloHead    = 22
)

// yoloNames say of a file without its first convolution or its head that it is of the family, too.
var yoloNames = []string{"model.0.conv.weight", "model.22.dfl.conv.weight", "model.22.cv2.0.2.weight", "model.22.cv3.0.2.weight"}

// locateDetector finds a network of the YOLO family. detectorKind says which it is.
func locateDetector(t *table) *part {
	var best *part
	most := 0
	for _, prefix := range prefixes["detector"] {
		count := 0
		for _, name := range yoloNames {
			if t.has(prefix + name) {
				count++
			}
		}
		for n := 5; n < 40; n++ {
			for _, end := range yoloEnds {
				if t.has(fmt.Sprintf("%smodel.%d.%s", prefix, n, end)) {
					count++
				}
			}
		}
		if count > most {
			best, most = &part{component: "detector", layout: LayoutOriginal, prefix: prefix}, count
		}
	}
	if most < 2 {
		return nil
	}
	return best
}

// yoloEnds are tensors of the last layer of the family's networks.
var yoloEnds = []string{"dfl.conv.weight", "anchors", "anchor_grid", "linear.weight", "cv4.0.0.conv.weight"}

// detectorKind says whether a network is one that the backend computes.
func detectorKind(p *part, _ Dims) (Kind, string) {
	head := yoloHead
	for n := 5; n < 40; n++ {
		for _, end := range yoloEnds {
			if p.under(fmt.Sprintf("model.%d.%s", n, end)) {
				head = n
			}
		}
	}
	at := func(tail string) bool { return p.under(fmt.Sprintf("model.%d.%s", head, tail)) }
	what := ""
	switch {
	case at("linear"):
		what = "a YOLO network that classifies whole pictures"
	case at("proto"):
		what = "a YOLO network for segmentation"
	case at("anchors"), at("anchor_grid"), at("m"):
		what = "YOLOv5 or YOLOv7"
	case at("one2one_cv2"):
		what = "YOLOv10"
	case at("cv4"):
		what = "a YOLO network for poses, turned boxes or open vocabularies"
	case p.under("model.2.cv2.0", "model.2.cv4", "model.2.conv1", "model.3.cv1"):
		what = "YOLOv9"
	case p.under("model.10.m.0.attn", "model.4.m.0.0.attn", "model.6.m.0.0.attn", "model.8.m.0.0"), at("cv3.0.0.0"), head == 23, head == 21:
		what = "YOLO11 or a later one"
	case head != yoloHead, p.under("model.2.cv3", "model.10", "model.13"):
		what = "a network of the YOLO family"
	}
	if what == "" {
		return KindDetector, ""
	}
	return KindDetector, "not supported: " + what + "; use YOLOv8 for detection, with boxes of three scales"
}

func (y *DetectorDims) lacks() string {
	if len(y.Widths) != len(yoloHalves) || len(y.Blocks) != len(yoloStages) || len(y.NeckBlocks) != len(yoloNeck) {
		return "its stages"
	}
	return ""
}

// added adds sides up; unknown if one of them is.
func added(sides ...int) (sum int) {
	for _, n := range sides {
		if n < 0 {
			return unknown
		}
		sum += n
	}
	return sum
}

// halved is half of a side, which may be unknown.
func halved(n int) int {
	if n < 0 {
		return unknown
	}
	return n / 2
}

// multiplied is so many times a side, which may be unknown.
func multiplied(n, of int) int {
	if of < 0 {
		return unknown
	}
	return n * of
}

// specs has ultralytics' names in both layouts.
func (y *DetectorDims) specs(b *specs) {
	w := y.Widths
	for i, n := range yoloHalves {
		in := 3
		if i > 0 {
			in = w[i-1]
		}
		y.conv(b, fmt.Sprintf("model.%d", n), in, w[i], 3)
		if i > 0 {
			y.c2f(b, yoloStages[i-1], w[i], w[i], y.Blocks[i-1])
		}
	}
	y.conv(b, fmt.Sprintf("model.%d.cv1", yoloPyramid), w[4], halved(w[4]), 1)
	y.conv(b, fmt.Sprintf("model.%d.cv2", yoloPyramid), multiplied(4, halved(w[4])), w[4], 1)
	y.c2f(b, yoloNeck[0], added(w[4], w[3]), w[3], y.NeckBlocks[0])
	y.c2f(b, yoloNeck[1], added(w[3], w[2]), w[2], y.NeckBlocks[1])
	y.conv(b, fmt.Sprintf("model.%d", yoloDown[0]), w[2], w[2], 3)
	y.c2f(b, yoloNeck[2], added(w[2], w[3]), w[3], y.NeckBlocks[2])
	y.conv(b, fmt.Sprintf("model.%d", yoloDown[1]), w[3], w[3], 3)
	y.c2f(b, yoloNeck[3], added(w[3], w[4]), w[4], y.NeckBlocks[3])
	for _, branch := range []struct {
		name       string
		width, out int
	}{{"cv2", y.BoxWidth, multiplied(4, y.Bins)}, {"cv3", y.ClassWidth, y.Classes}} {
		for s, in := range w[2:] {
			name := fmt.Sprintf("model.%d.%s.%d", yoloHead, branch.name, s)
			y.conv(b, name+".0", in, branch.width, 3)
			y.conv(b, name+".1", branch.width, branch.width, 3)
			b.conv(both(name+".2"), RoleOut, branch.width, branch.out, 1)
		}
	}
	b.optional(fmt.Sprintf("model.%d.dfl.conv.weight", yoloHead), RoleBins, 1, y.Bins, 1, 1)
}

func (y *DetectorDims) c2f(b *specs, n, in, out, blocks int) {
	name, part := fmt.Sprintf("model.%d", n), halved(out)
	y.conv(b, name+".cv1", in, multiplied(2, part), 1)
	y.conv(b, name+".cv2", multiplied(2+blocks, part), out, 1)
	for i := range blocks {
		y.conv(b, fmt.Sprintf("%s.m.%d.cv1", name, i), part, part, 3)
		y.conv(b, fmt.Sprintf("%s.m.%d.cv2", name, i), part, part, 3)
	}
}

// conv is a convolution with its batch norm, which may be part of it.
func (y *DetectorDims) conv(b *specs, name string, in, out, kernel int) {
	b.conv(both(name+".conv"), RoleWeight, in, out, kernel)
	if y.Fused {
		return
	}
	b.list = b.list[:len(b.list)-1] // no bias
	b.norm(both(name+".bn"), out)
	b.add(both(name+".bn.running_mean"), RoleMean, backend.UseVector, out)
	b.add(both(name+".bn.running_var"), RoleVariance, backend.UseVector, out)
	b.optional(name+".bn.num_batches_tracked", RolePositionIDs)
}

func inferDetector(p *part) *DetectorDims {
	y := &DetectorDims{}
	norms := 0
	for path := range p.structure() {
		if strings.HasSuffix(path, ".bn") {
			norms++
		}
	}
	y.Fused = norms == 0
	width := func(readers []side, names ...string) int { // as convolutions make it, and as others take it
		for _, name := range names {
			readers = append(readers, side{name + ".conv.weight", 0}, side{name + ".bn.weight", 0}, side{name + ".bn.bias", 0},
				side{name + ".conv.bias", 0})
		}
		return p.agreed(readers...)
	}
	takes := func(names ...string) (out []side) {
		for _, name := range names {
			out = append(out, side{name + ".conv.weight", 1})
		}
		return out
	}
	for i, n := range yoloHalves {
		names, readers := []string{fmt.Sprintf("model.%d", n)}, takes(fmt.Sprintf("model.%d.cv1", yoloPyramid))
		if i > 0 {
			names = append(names, fmt.Sprintf("model.%d.cv1", yoloStages[i-1]), fmt.Sprintf("model.%d.cv2", yoloStages[i-1]))
		}
		if i+1 < len(yoloHalves) {
			readers = takes(fmt.Sprintf("model.%d", yoloHalves[i+1]))
		}
		y.Widths = append(y.Widths, width(readers, names...))
	}
	for i := range yoloStages {
		y.Blocks = append(y.Blocks, max(p.numbered(fmt.Sprintf("model.%d.m", yoloStages[i]), maxBlocks), 1))
		y.NeckBlocks = append(y.NeckBlocks, max(p.numbered(fmt.Sprintf("model.%d.m", yoloNeck[i]), maxBlocks), 1))
	}
	branch := func(name string) (inside, out int) {
		var names []string
		var readers, outs []side
		for s := range 3 {
			at := fmt.Sprintf("model.%d.%s.%d", yoloHead, name, s)
			names, readers = append(names, at+".0", at+".1"), append(readers, side{at + ".2.weight", 1})
			outs = append(outs, side{at + ".2.weight", 0}, side{at + ".2.bias", 0})
		}
		return width(readers, names...), p.agreed(outs...)
	}
	y.BoxWidth, y.Bins = branch("cv2")
	y.ClassWidth, y.Classes = branch("cv3")
	y.Bins = halved(halved(y.Bins))
	return y
}
