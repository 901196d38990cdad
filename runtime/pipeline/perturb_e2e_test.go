//go:build !race

package pipeline

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/internal/modelfile/synth"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// readPerturbedRun is readRun for runs with PAG, SEG or FreeU; net is the ControlNet's file.
func readPerturbedRun(t *testing.T, name, net string) request.Request {
	t.Helper()
	var g struct {
		PAG   request.PAG   `json:"pag"`
		SEG   request.SEG   `json:"seg"`
		FreeU request.FreeU `json:"freeu"`
		Nets  []string      `json:"nets"`
	}
	data, err := os.ReadFile(filepath.Join(goldens, "run_"+name+".json"))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(data, &g))
	_, r := readRun(t, name)
	r.PAG, r.SEG, r.FreeU = g.PAG, g.SEG, g.FreeU
	if name == "pag_ip" {
		r.IPAdapters = readIPRun(t, name, ipFiles(t)).IPAdapters
	}
	for _, n := range g.Nets {
		r.ControlNets = append(r.ControlNets, request.ControlNet{Model: net, Weight: new(0.8), ResizeMode: "stretch",
			Image: request.Picture{Path: filepath.Join(goldens, "input_control_"+n+".png")}})
	}
	return r
}

var perturbedRuns = []string{"pag", "pag_layers", "pag_alone", "pag_control", "pag_ip", "seg", "seg_blur", "seg_alone", "pag_seg", "freeu",
	"freeu_wide"}

// TestGoldenPerturbed compares PAG with diffusers' StableDiffusionXLPAGPipeline (also with IP-Adapters) and its ControlNet variant, SEG
// with its authors' arithmetic restated in tools/goldens/perturb.py, and FreeU with enable_freeu: all rows in one evaluation, and one kind
// after the other.
func TestGoldenPerturbed(t *testing.T) {
	t.Parallel()
	net := synthNet(t, synth.KindNanoControl, goldenSeeds["one"], modelfile.LayoutOriginal)
	p := openNano(t, backend.PrecisionExact)
	for _, name := range perturbedRuns {
		bothHalves(t, p, name, readPerturbedRun(t, name, net))
	}
}
