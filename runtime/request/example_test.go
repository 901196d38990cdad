package request_test

import (
	"fmt"

	"github.com/daguerre-go/daguerre/runtime/request"
)

// A run file names a model and its jobs. What stands at the top holds for every job.
func Example() {
	run, err := request.DecodeTOML([]byte(`
width = 1024
height = 768
[model]
model = "sd_xl_base_1.0.safetensors"
[[jobs]]
prompt = "a lighthouse in fog"
seed = 7
[[jobs]]
prompt = "the same at night"
height = 1024
`))
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := run.Validate(); err != nil {
		fmt.Println(err)
		return
	}
	for _, job := range run.Jobs {
		fmt.Println(job.Prompt, job.Width, job.Height)
	}
	// Output:
	// a lighthouse in fog 1024 768
	// the same at night 1024 1024
}

// Mistakes are found before anything is read, with the nearest name that is known.
func ExampleDecodeJSON() {
	_, err := request.DecodeJSON([]byte(`{"prompt": "a lighthouse", "guidance_scal": 6}`))
	fmt.Println(err)
	// Output:
	// guidance_scal: unknown key; did you mean "guidance_scale"?
}
