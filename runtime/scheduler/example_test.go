package scheduler_test

import (
	"fmt"

	"github.com/daguerre-go/daguerre/runtime/scheduler"
)

func Example() {
	s, err := scheduler.New("DPM++ 2M Karras", scheduler.SDXLDefaults())
	if err != nil {
		fmt.Println(err)
		return
	}
	run, err := s.NewRun(scheduler.RunOptions{NumInferenceSteps: 5})
	if err != nil {
		fmt.Println(err)
		return
	}
	latents := []float32{1, -1, 0.5, 0.25} // noise, times run.InitNoiseSigma()
	input, output := make([]float32, 4), make([]float32, 4)
	for i := range run.Timesteps() {
		if err := run.ScaleModelInput(input, latents, i); err != nil {
			fmt.Println(err)
		}
		copy(output, input) // a model that takes everything for noise
		if err := run.Step(latents, output, latents, i, nil); err != nil {
			fmt.Println(err)
		}
	}
	fmt.Println(s.Name(), run.Timesteps())
	// Output: DPMSolverMultistepScheduler [999 786 427 59 0]
}

func ExampleNew_unknown() {
	_, err := scheduler.New("Eulr", scheduler.SDXLDefaults())
	fmt.Println(err)
	_, err = scheduler.New("Euler", scheduler.Config{BetaSchedule: "cosine"})
	fmt.Println(err)
	// Output:
	// scheduler: unknown scheduler "Eulr"; did you mean Euler or k_euler or Euler a?
	// scheduler: EulerDiscreteScheduler: beta_schedule is "cosine"; it must be one of "linear", "scaled_linear", "squaredcos_cap_v2"
}
