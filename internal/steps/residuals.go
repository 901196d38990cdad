package steps

import (
	"github.com/daguerre-go/daguerre/internal/models"
	"github.com/daguerre-go/daguerre/runtime/backend"
)

// residuals is room for what ControlNets add in one evaluation of the UNet. It is on the UNet's device if all nets of the batch are there,
// too, and else on the host. The UNet takes them before the next evaluation needs room, so that one room is enough. It is another one where
// the number of rows changes, which it does a few times in a run.
type residuals struct {
	unet   backend.UNetInfo
	keeper backend.ResidualModel // nil: on the host
	kept   backend.Residuals
	host   []float32
	rows   int // that the room is for
}

func newResiduals(m models.Model, nets []models.Model) *residuals {
	r := &residuals{unet: m.Info.UNet}
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
	same := rows == r.rows
	if r.keeper == nil {
		r.rows = rows
		if same {
			clear(r.host)
		} else {
			r.host = make([]float32, r.unet.ResidualCount(rows, height, width))
		}
		return r.host, nil, nil
	}
	if same {
		return nil, r.kept, r.kept.Clear()
	}
	if err := r.close(); err != nil { // before another takes memory
		return nil, nil, err
	}
	kept, err := r.keeper.NewResiduals(rows, height, width)
	if err != nil {
		return nil, nil, err
	}
	r.kept, r.rows = kept, rows
	return nil, kept, nil
}

// close frees what is on the device.
func (r *residuals) close() error {
	kept := r.kept
	r.kept, r.rows = nil, 0
	if kept == nil {
		return nil
	}
	return kept.Close()
}
