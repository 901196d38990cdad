package modelfile

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// detectorAs is the nano detector with other names; "" leaves a tensor out, and more are added.
func detectorAs(d *DetectorDims, name func(string) string, more ...Tensor) *source {
	var out []Tensor
	for _, x := range inMemory(Dims{Detector: d}, LayoutOriginal) {
		if x.Name = name(x.Name); x.Name != "" {
			out = append(out, x)
		}
	}
	return opened(append(out, more...))
}

func asIs(name string) string { return name }

// TestDetectors: YOLOv8's sizes, fused or not, under the prefixes that programs write.
func TestDetectors(t *testing.T) {
	nano, full := Preset("nano-yolov8").Detector, Preset("yolov8n").Detector
	fused, m := *nano, *full
	fused.Fused = true
	m.Widths, m.Blocks, m.NeckBlocks, m.ClassWidth = []int{48, 96, 192, 384, 576}, []int{2, 4, 4, 2}, []int{2, 2, 2, 2}, 192
	for name, want := range map[string]*DetectorDims{"nano": nano, "n": full, "m": &m, "fused": &fused} {
		for _, prefix := range []string{"", "model.", "ema.", "state_dict."} {
			s := detectorAs(want, func(n string) string { return prefix + n })
			r, err := s.report()
			require.NoError(t, err)
			require.Empty(t, r.Reason, name+" "+prefix)
			assert.Equal(t, KindDetector, r.Kind)
			assert.Equal(t, want, r.Dims.Detector, name)
			assert.Empty(t, r.Unused)
			require.NoError(t, s.check(r, []Kind{KindDetector}))
			assert.ErrorContains(t, s.check(r, nil), "a detector, not a checkpoint")
		}
	}
}

// TestOtherYOLOs: what is no YOLOv8 for detection is named and refused.
func TestOtherYOLOs(t *testing.T) {
	nano := Preset("nano-yolov8").Detector
	has := func(name string, shape ...int64) Tensor { return Tensor{Name: name, DType: F16, Shape: shape} }
	moved := func(to string) func(string) string {
		return func(n string) string { return strings.Replace(n, "model.22.", "model."+to+".", 1) }
	}
	without := func(part string) func(string) string {
		return func(n string) string {
			if strings.Contains(n, part) {
				return ""
			}
			return n
		}
	}
	for what, s := range map[string]*source{
		"segmentation": detectorAs(nano, asIs, has("model.22.proto.cv1.conv.weight", 8, 8, 3, 3),
			has("model.22.cv4.0.0.conv.weight", 8, 8, 3, 3)),
		"poses":      detectorAs(nano, asIs, has("model.22.cv4.0.0.conv.weight", 8, 8, 3, 3)),
		"classifies": detectorAs(nano, without("model.22."), has("model.9.linear.weight", 8, 8), has("model.9.linear.bias", 8)),
		"YOLOv5":     detectorAs(nano, without("model.22."), has("model.24.anchors", 3, 3, 2), has("model.24.m.0.weight", 8, 8, 1, 1)),
		"YOLOv9":     detectorAs(nano, without("model.2."), has("model.2.cv4.conv.weight", 8, 8, 1, 1)),
		"YOLOv10": detectorAs(nano, moved("23"), has("model.23.dfl.conv.weight", 1, 16, 1, 1),
			has("model.23.one2one_cv2.0.0.conv.weight", 8, 8, 3, 3)),
		"YOLO11":      detectorAs(nano, moved("23"), has("model.23.dfl.conv.weight", 1, 16, 1, 1)),
		"YOLO family": detectorAs(nano, moved("28"), has("model.28.dfl.conv.weight", 1, 16, 1, 1)),
	} {
		r, err := s.report()
		require.NoError(t, err)
		assert.Equal(t, KindDetector, r.Kind, what)
		assert.Contains(t, r.Reason, what)
		assert.Contains(t, r.Reason, "use YOLOv8 for detection", what)
		require.ErrorIs(t, s.check(r, []Kind{KindDetector}), ErrUnsupported, what)
	}
}

// TestPickledYOLO: a .pt file of ultralytics holds a Python object, and the error says what to do.
func TestPickledYOLO(t *testing.T) {
	_, err := open("yolo.pt", torchZip("\x80\x02cultralytics.nn.tasks\nDetectionModel\nq\x00)R.", nil))
	require.ErrorContains(t, err, "ultralytics.nn.tasks.DetectionModel")
	require.ErrorContains(t, err, "save its state_dict() as .safetensors")
}
