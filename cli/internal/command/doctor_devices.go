package command

import (
	"context"
	"errors"
	"fmt"
	"image"
	"math"
	"slices"
	"time"

	"github.com/daguerre-go/daguerre/cli/internal/progress"
	"github.com/daguerre-go/daguerre/internal/words"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/pipeline"
)

// The limits of what a device may compute otherwise than the CPU does in exact precision. The graph is one step of the embedded
// model with guidance, compared by relative L2; the picture has a few more, and is compared as people see it.
const (
	exactGraphError = 1e-3
	exactPSNR       = 60.0
	autoGraphError  = 0.05
	autoPSNR        = 30.0
	graphSteps      = 1
	comparedSteps   = 8
)

// deviceTest is what doctor --deep found of one device in one precision.
type deviceTest struct {
	Device     string  `json:"device"`
	Precision  string  `json:"precision"` // as computed
	Asked      string  `json:"asked"`     // "exact" or "auto"
	Status     string  `json:"status"`
	Message    string  `json:"message"`
	GraphError float64 `json:"graph_error"` // relative L2
	PSNR       float64 `json:"psnr"`        // dB; 99 for equal pictures
	Seconds    float64 `json:"seconds"`     // of the picture
	err        error
}

// deepRun is what a device computed.
type deepRun struct {
	graph     []float32
	picture   *image.NRGBA
	precision string
	seconds   float64
}

// errDeviceDiffers is what the doctor ends with where a device computes something else than the CPU.
var errDeviceDiffers = errors.New("a device computes something else than the CPU")

// deepDevices computes the same on every device, and compares with the CPU's exact result. Software devices are only tested where
// they are named; with names nothing but these (and the CPU's reference) is computed.
func deepDevices(ctx context.Context, env Env, named []string) ([]deviceTest, error) {
	devices, err := env.Native.Devices(ctx)
	if err != nil {
		return nil, err
	}
	for _, id := range named {
		if !slices.ContainsFunc(devices, func(d backend.Device) bool { return d.ID == id }) {
			var known []string
			for _, d := range devices {
				known = append(known, d.ID)
			}
			return nil, &usageError{message: fmt.Sprintf("--device %q is not here; there are %v", words.Clip(id), known), command: "daguerre doctor"}
		}
	}
	reference, err := computeDeep(ctx, env, "cpu", backend.PrecisionExact)
	if err != nil {
		return []deviceTest{{Device: "cpu", Asked: string(backend.PrecisionExact), Status: checkFail, Message: err.Error(), err: err}}, nil
	}
	var tests []deviceTest
	for _, d := range devices {
		if len(named) == 0 && d.Software || d.Kind == backend.DeviceAccel || len(named) > 0 && !slices.Contains(named, d.ID) {
			continue
		}
		for _, p := range []backend.Precision{backend.PrecisionExact, backend.PrecisionAuto} {
			if ctx.Err() != nil {
				return tests, ctx.Err()
			}
			if d.ID == "cpu" && p == backend.PrecisionExact {
				tests = append(tests, deviceTest{Device: d.ID, Precision: reference.precision, Asked: string(p), Status: checkOK,
					Message: "the reference", PSNR: mostPSNR, Seconds: reference.seconds})
				continue
			}
			tests = append(tests, testDevice(ctx, env, d.ID, p, reference))
		}
	}
	return tests, nil
}

// testDevice computes on one device and compares.
func testDevice(ctx context.Context, env Env, id string, p backend.Precision, reference deepRun) deviceTest {
	t := deviceTest{Device: id, Asked: string(p), Status: checkFail}
	run, err := computeDeep(ctx, env, id, p)
	if err != nil {
		t.Message, t.err = err.Error(), err
		return t
	}
	t.Precision, t.Seconds = run.precision, run.seconds
	t.GraphError, t.PSNR = relativeL2(run.graph, reference.graph), psnr(run.picture, reference.picture)
	graphLimit, psnrLimit := autoGraphError, autoPSNR
	if p == backend.PrecisionExact {
		graphLimit, psnrLimit = exactGraphError, exactPSNR
	}
	switch {
	case !(t.GraphError <= graphLimit):
		t.Message = fmt.Sprintf("the graph differs from the CPU's by %.2g; at most %.2g is expected", t.GraphError, graphLimit)
	case !(t.PSNR >= psnrLimit):
		t.Message = fmt.Sprintf("the picture has %.1f dB against the CPU's; at least %.0f are expected", t.PSNR, psnrLimit)
	default:
		t.Status, t.Message = checkOK, "agrees with the CPU's exact result"
		return t
	}
	t.err = errDeviceDiffers
	return t
}

// computeDeep makes the small graph and the picture on a device.
func computeDeep(ctx context.Context, env Env, id string, p backend.Precision) (deepRun, error) {
	pipe, err := env.Open(ctx, pipeline.Config{Model: pipeline.NanoModel, Device: id, Precision: p, Threads: 1})
	if err != nil {
		return deepRun{}, err
	}
	defer pipe.Close()
	req := deepPrompts[0]
	req.NumInferenceSteps = graphSteps
	graph, err := pipe.Generate(ctx, req)
	if err != nil {
		return deepRun{}, err
	}
	req.NumInferenceSteps = comparedSteps
	began := env.Now()
	picture, err := pipe.Generate(ctx, req)
	if err != nil {
		return deepRun{}, err
	}
	return deepRun{graph: graph.Images[0].Latents.Data, picture: picture.Images[0].NRGBA, precision: string(pipe.Info().Precision),
		seconds: env.Now().Sub(began).Seconds()}, nil
}

func relativeL2(a, b []float32) float64 {
	if len(a) != len(b) {
		return math.Inf(1)
	}
	diff, norm := 0.0, 0.0
	for i := range a {
		d := float64(a[i]) - float64(b[i])
		diff += d * d
		norm += float64(b[i]) * float64(b[i])
	}
	return math.Sqrt(diff / norm)
}

// mostPSNR stands for equal pictures, since JSON has no infinity.
const mostPSNR = 99

func psnr(a, b *image.NRGBA) float64 {
	if a.Rect != b.Rect {
		return 0
	}
	sum := 0.0
	for i := range a.Pix {
		d := float64(a.Pix[i]) - float64(b.Pix[i])
		sum += d * d
	}
	if sum == 0 {
		return mostPSNR
	}
	return min(10*math.Log10(255*255*float64(len(a.Pix))/4*3/sum), mostPSNR) // alpha is equal and does not count
}

// deepFinding sums the devices' tests up for the doctor's list.
func deepFinding(tests []deviceTest) finding {
	f := finding{Check: "compute", Status: checkOK, Message: fmt.Sprintf("%d tests on devices agree with the CPU's exact result", len(tests))}
	f.Details = append(f.Details, fmt.Sprintf("%-10s %-6s %-6s %11s %8s %8s", "device", "asked", "took", "graph error", "PSNR", "time"))
	for _, t := range tests {
		line := fmt.Sprintf("%-10s %-6s %-6s %11.2g %5.1f dB %8s", t.Device, t.Asked, t.Precision, t.GraphError, t.PSNR,
			progress.Seconds(time.Duration(t.Seconds*float64(time.Second)).Round(10*time.Millisecond).Seconds()))
		if t.Status != checkOK {
			line = fmt.Sprintf("%-10s %-6s failed: %s", t.Device, t.Asked, t.Message)
			f.Status, f.err = checkFail, t.err
			f.Message = "a device fails, or computes something else than the CPU: " + t.Device
			f.Remedy = "update the device's driver, or name another with --device; report it with the output of doctor --deep --json"
		}
		f.Details = append(f.Details, line)
	}
	return f
}
