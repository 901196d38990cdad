package request_test

import (
	"fmt"

	"github.com/daguerre-go/daguerre/runtime/request"
)

func ExampleDefault() {
	r := request.Default() // as an empty run file: the seed is drawn
	r.Prompt, r.Width, r.Height = "a lighthouse at dusk", 1024, 768
	fmt.Println(r.Validate())

	r = request.Request{Prompt: r.Prompt, Width: 1001} // the zero value: the seed is 0
	fmt.Println(r.Seed, r.Validate())
	// Output:
	// <nil>
	// 0 width: is 1001, which is no multiple of 8; the nearest are 1000 and 1008
}

func ExampleDecodeTOML() {
	run, err := request.DecodeTOML([]byte(`
model = "nano"
prompt = "a red circle"
steps = 20  # AUTOMATIC1111's word for num_inference_steps
`))
	fmt.Println(run.Model.Model, run.Jobs[0].NumInferenceSteps, run.Jobs[0].Seed, err)
	// Output: nano 20 -1 <nil>
}
