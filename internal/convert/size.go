package convert

import (
	"github.com/daguerre-go/daguerre/internal/fault"
	"github.com/daguerre-go/daguerre/internal/modelfile"
)

// Size returns the bytes of tensor data that Convert would write, from headers alone.
func Size(in string, opt Options) (int64, error) {
	c, err := modelfile.OpenAll(in)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	opt.size = true
	var bytes int64
	err = fault.Catch(func() {
		fault.Check(c.Check())
		bytes = newPlan(c, opt).bytes()
	})
	return bytes, err
}
