package native

import (
	"github.com/daguerre-go/daguerre/bindings"
	"github.com/daguerre-go/daguerre/runtime/backend"
)

// textRegions translates texts in parts of the picture; nil: there are none.
func textRegions(r backend.TextRegions) *bindings.TextRegions {
	if r.Count == 0 {
		return nil
	}
	return &bindings.TextRegions{Count: int64(r.Count), Rows: int64(r.Rows), Context: bindings.Pointer(r.Context.Data),
		Shares: bindings.Pointer(r.Shares), ShareCount: int64(len(r.Shares))}
}
