package pictures

// NotFinite returns the index of the first NaN or infinity, or -1.
func NotFinite(x []float32) int {
	for i, v := range x {
		if v-v != 0 {
			return i
		}
	}
	return -1
}
