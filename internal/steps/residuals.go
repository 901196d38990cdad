package steps

import (
	"errors"

	"github.com/daguerre-go/daguerre/internal/models"
	"github.com/daguerre-go/daguerre/runtime/backend"
)

// residuals is room for what ControlNets add in one evaluation of the UNet. It is on the UNet's device if all nets of the batch are there,
// too, and else on the host. The UNet takes them before the next evaluation needs room, so that one of each number of rows is enough.
type residuals struct {
	unet   backend.UNetInfo
	keeper backend.ResidualModel // nil: on the host
	kept   map[int]backend.Residuals
	host   map[int][]float32
}

func newResiduals(m models.Model, nets []models.Model) *residuals {
	r := &residuals{unet: m.Info.UNet, kept: map[int]backend.Residuals{}, host: map[int][]float32{}}
	keeper, ok := m.Model.(backend.ResidualModel)
	for _, n := range nets {
		net, _ := models.Component(n.Info, "controlnet")
		ok = ok && net.Device == models.DeviceOf(m.Info)
	}
	if ok {
		r.keeper = keeper
	}
	return r
}

// zeros returns room for so many rows, on the host or on the device.
func (r *residuals) zeros(rows, height, width int) ([]float32, backend.Residuals, error) {
	if r.keeper == nil {
		if r.host[rows] == nil {
			r.host[rows] = make([]float32, r.unet.ResidualCount(rows, height, width))
		} else {
			clear(r.host[rows])
		}
		return r.host[rows], nil, nil
	}
	if kept := r.kept[rows]; kept != nil {
		return nil, kept, kept.Clear()
	}
	kept, err := r.keeper.NewResiduals(rows, height, width)
	if err != nil {
		return nil, nil, err
	}
	r.kept[rows] = kept
	return nil, kept, nil
}

// close frees what is on the device.
func (r *residuals) close() error {
	var errs []error
	for _, kept := range r.kept {
		errs = append(errs, kept.Close())
	}
	return errors.Join(errs...)
}
