package rng

// mt19937 is the Mersenne Twister of Matsumoto and Nishimura (ACM TOMACS 8, 1998) with 32-bit words.
type mt19937 struct {
	state [624]uint32
	next  int
}

// seed initialises the state. torch keeps the low 32 bits of a 64-bit seed only.
func (m *mt19937) seed(seed uint64) {
	m.state[0] = uint32(seed)
	for i := 1; i < len(m.state); i++ {
		p := m.state[i-1]
		m.state[i] = 1812433253*(p^p>>30) + uint32(i)
	}
	m.next = len(m.state)
}

// twist makes the next 624 words of the state.
func (m *mt19937) twist() {
	const half = 397
	s := &m.state
	for i := range s {
		y := s[i]&0x80000000 | s[(i+1)%len(s)]&0x7fffffff
		v := s[(i+half)%len(s)] ^ y>>1
		if y&1 != 0 {
			v ^= 0x9908b0df
		}
		s[i] = v
	}
	m.next = 0
}

// uint32 draws 32 bits.
func (m *mt19937) uint32() uint32 {
	if m.next == len(m.state) {
		m.twist()
	}
	y := m.state[m.next]
	m.next++
	y ^= y >> 11
	y ^= y << 7 & 0x9d2c5680
	y ^= y << 15 & 0xefc60000
	return y ^ y>>18
}
