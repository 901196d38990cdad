package memory

// The safety margins. A plan's peak on a device, with both added, must not be above what the device's budget is.
const (
	// MarginShare covers what an estimate of a peak may be wrong by; tests hold estimates to 5 % of measured peaks.
	MarginShare = 0.03
	// MarginBytes covers what does not grow with the model: the allocator's slack, thread stacks, the program's own buffers. Where the system
	// sets the limit, room that is reserved counts, and who needs more is killed.
	MarginBytes int64 = 24 << 20
	// LimitMarginBytes is MarginBytes for a memory_limit, which nothing but the plan holds to: peaks of the smallest model are within 4 MiB
	// of what is planned, and as much is left for what differs from process to process.
	LimitMarginBytes int64 = 8 << 20
)

// The reasons of budgets that are not the machine's.
const (
	WhyLimit   = "memory_limit"
	WhyReserve = "what is free, less reserve"
)

// Budget is what a run may hold on one device in all: on the host that includes what the process holds already.
type Budget struct {
	Device string `json:"device"`
	Bytes  int64  `json:"bytes"`
	// Why says where the figure is from: "memory_limit", "memory of the machine", "cgroup limit", ...
	Why string `json:"why"`
}

// Need is what the budget must be at least for a peak.
func (b Budget) Need(peak int64) int64 {
	margin := MarginBytes
	if b.Why == WhyLimit {
		margin = LimitMarginBytes
	}
	return peak + int64(MarginShare*float64(peak)) + margin
}

// JobPlan is what is decided for one job.
type JobPlan struct {
	Batch     int       `json:"batch"` // of its own pictures
	Tiling    bool      `json:"vae_tiling"`
	Separate  bool      `json:"guidance_separate"`
	Breakdown Breakdown `json:"breakdown"`
	// NextBatch is a larger batch than fits, and NextBytes what the device that is short would need for it; 0: all pictures are in
	// one batch, or the job's own limit is what bounds it.
	NextBatch int   `json:"next_batch,omitempty"`
	NextBytes int64 `json:"next_bytes,omitempty"`
}

// Need is what a strategy would take on a device, margins included.
type Need struct {
	Device   string   `json:"device"`
	Strategy Strategy `json:"strategy"`
	Bytes    int64    `json:"bytes"`
}

// Plan is a decision.
type Plan struct {
	Strategy    Strategy  `json:"strategy"`
	StreamBytes int64     `json:"stream_bytes,omitempty"`
	Jobs        []JobPlan `json:"jobs"`
	Budgets     []Budget  `json:"budgets"`
	// Passed holds the faster strategies that do not fit, the fastest first, with what they would take where it is missing.
	Passed []Need `json:"passed,omitempty"`
	Reason string `json:"reason"`
}

// Peak returns the most that any of the jobs holds on a device, and the stage in which it does.
func (p Plan) Peak(device string) (bytes int64, stage string) {
	for _, j := range p.Jobs {
		if n, s := j.Breakdown.Peak(device); n > bytes {
			bytes, stage = n, s
		}
	}
	return bytes, stage
}
