package pipeline

// TextCacheStats returns how often an encoded prompt was remembered, and how often one had to be encoded.
func (p *Pipeline) TextCacheStats() (hits, misses int64) {
	p.textCache.mu.Lock()
	defer p.textCache.mu.Unlock()
	return p.textCache.hits, p.textCache.misses
}
