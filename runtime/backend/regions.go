package backend

// TextRegions are texts in parts of the picture (attention couple). The last Rows rows of a batch have Count texts each beside their own.
// In every cross attention their queries attend to each text, and the result is the sum of all by shares. The zero value has none.
type TextRegions struct {
	Count, Rows int
	Context     Tensor    // [Count * Rows, T, ContextDim], text by text
	Shares      []float32 // [Count * Rows, cells]: how much each counts, in the cells of ImagePrompt.Mask; the row's own text has the rest
}

// RegionTexts says how many TextRegions a query means: of the UNet, of a ControlNet, and of features.
type RegionTexts struct {
	Count, Rows int
	Sets        int // how many rows differ in them; 0: all
}
