package contract

import "github.com/daguerre-go/daguerre/runtime/backend"

// textRegions checks the texts that some of n rows of h x w cells have beside their own, each as long as context.
func textRegions(u backend.UNetInfo, r backend.TextRegions, context backend.Tensor, n, h, w int) error {
	if r.Count == 0 {
		return nil
	}
	if r.Count < 1 || r.Rows < 1 || r.Rows > n {
		return Invalid("regions", "%d texts of %d rows, of a batch of %d", r.Count, r.Rows, n)
	}
	texts, ok := product(r.Count, r.Rows)
	if !ok {
		return Invalid("regions", "%d texts of %d rows are more than can be", r.Count, r.Rows)
	}
	if err := Tensor("regions.context", r.Context, texts, context.Shape[1], context.Shape[2]); err != nil {
		return err
	}
	if want, ok := product(texts, u.MaskCount(h, w)); !ok || len(r.Shares) != want {
		return Invalid("regions.shares", "there are %d values; %d texts of %d x %d cells and the levels below need %d", len(r.Shares), texts,
			w, h, want)
	}
	return nil
}

// regionTexts checks those of a query of n rows.
func regionTexts(r backend.RegionTexts, n int) error {
	if r.Count < 0 || r.Rows < 0 || r.Rows > n || r.Sets < 0 || r.Sets > r.Rows {
		return Invalid("regions", "%d texts of %d rows with %d sets, of a batch of %d", r.Count, r.Rows, r.Sets, n)
	}
	return nil
}
