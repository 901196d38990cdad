package tool

import "encoding/json"

// Plan is what is read of `daguerre plan --json`.
type Plan struct {
	Fits     bool
	Strategy json.RawMessage
	Window   int64 `json:"stream_bytes"`
	Jobs     []struct {
		Batch     int
		Breakdown struct {
			Stages []struct {
				Items []struct {
					Device, Use string
					Bytes       int64
				}
			}
		}
	}
	Sizes []struct{ Width, Height, Images int }
	Peaks []struct {
		Device, Stage string
		Bytes         int64
	}
	Smallest int64 `json:"smallest_limit"`
	Error    string
}

// HostPeak is the planned peak of the host, and the stage in which it is.
func (p Plan) HostPeak() (int64, string) {
	for _, x := range p.Peaks {
		if x.Device == "cpu" {
			return x.Bytes, x.Stage
		}
	}
	return 0, ""
}
