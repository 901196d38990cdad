package fake_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/backend/fake"
)

// A hook lets the second evaluation of the UNet fail, to test what a program then does. Every call is recorded.
func Example() {
	ctx := context.Background()
	b := &fake.Backend{Hook: func(_ context.Context, call fake.Call) error {
		if call.Op == fake.OpUNet && call.Nth == 1 {
			return errors.New("the device is gone")
		}
		return nil
	}}
	m, err := b.Open(ctx, backend.ModelConfig{})
	if err != nil {
		fmt.Println(err)
		return
	}
	u := m.Info().UNet
	in := backend.UNetInput{Sample: backend.NewTensor(1, u.InChannels, 8, 8), Timesteps: []float32{999},
		Context: backend.NewTensor(1, 77, u.ContextDim),
		Pooled:  backend.NewTensor(1, u.PooledDim), SizeIDs: backend.NewTensor(1, u.SizeIDs)}
	out := make([]float32, u.OutChannels*8*8)
	fmt.Println(m.UNet(ctx, in, out))
	fmt.Println(m.UNet(ctx, in, out))
	fmt.Println(m.Close(), b.LiveModels())
	for _, call := range b.Calls() {
		fmt.Println(call.Op, call.Nth)
	}
	// Output:
	// <nil>
	// the device is gone
	// <nil> 0
	// open 0
	// unet 0
	// unet 1
}
