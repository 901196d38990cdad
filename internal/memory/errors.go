package memory

import (
	"errors"
	"fmt"
	"strings"

	"github.com/daguerre-go/daguerre/internal/words"
)

// ErrOverBudget is the error of a run that is planned and does not fit into the memory it may have. It is not
// backend.ErrOutOfMemory, which is an allocation that failed: nothing was allocated here, and the plan has already tried the
// smallest batch. So nobody takes less at once, or tries again, for it. To a user both mean too little memory: the program ends
// with the same exit code.
var ErrOverBudget = errors.New("not enough memory")

// ErrStrategy is matched by the error of a strategy that the user asks for and that is not possible with the model.
var ErrStrategy = errors.New("this strategy is not possible here")

// OverBudgetError says what is missing for a run, and the smallest budget with which it would be possible. It matches ErrOverBudget.
type OverBudgetError struct {
	Device   string   // that is short
	Budget   Budget   // of it
	Smallest int64    // that works, with Strategy and batches of 1, also for a process that begins a little larger than this one
	Strategy Strategy // that needs least
	Forced   Force    // what the user has decided, and is not changed
	found    bool
	excess   float64
}

// consider takes a strategy's needs into account: the one that needs least where it is short is kept.
func (e *OverBudgetError) consider(s Strategy, budgets []Budget, needs map[string]int64) {
	worst := -1
	var excess float64
	for i, b := range budgets {
		if x := float64(needs[b.Device]) / float64(max(b.Bytes, 1)); worst < 0 || x > excess {
			worst, excess = i, x
		}
	}
	if worst < 0 || e.found && excess >= e.excess {
		return
	}
	e.found, e.excess = true, excess
	e.Device, e.Budget, e.Smallest, e.Strategy = budgets[worst].Device, budgets[worst], needs[budgets[worst].Device], s
}

// Unwrap makes the error match ErrOverBudget.
func (e *OverBudgetError) Unwrap() error { return ErrOverBudget }

// Error names what is short and what to do.
func (e *OverBudgetError) Error() string {
	where := "memory"
	if e.Device != HostID {
		where = "memory of " + e.Device
	}
	text := fmt.Sprintf("model.memory: %v: the run needs %s of %s at least (%s), and may have %s (%s)", ErrOverBudget,
		words.Budget(e.Smallest), where, e.Strategy, words.Budget(e.Budget.Bytes), e.Budget.Why)
	var remedies []string
	if e.Budget.Why == WhyLimit {
		remedies = append(remedies, fmt.Sprintf("give memory_limit = %q or more", e.Advice()))
	} else {
		remedies = append(remedies, "free some")
	}
	if e.Forced.Strategy != "" && e.Forced.Strategy != Auto && e.Forced.Strategy != Stream {
		remedies = append(remedies, "leave strategy to auto")
	}
	if e.Forced.Tiling == Off {
		remedies = append(remedies, "leave vae_tiling to auto")
	}
	if e.Forced.AttentionSlicing == Off && !e.Forced.SlicingUseless {
		remedies = append(remedies, "leave attention_slicing out")
	}
	return text + "; " + strings.Join(append(remedies, "or take a smaller type, such as q4_k, or smaller pictures"), ", ")
}

// Advice is Smallest as a memory_limit, rounded up to whole MiB so that it is enough.
func (e *OverBudgetError) Advice() string {
	return fmt.Sprintf("%dMiB", (e.Smallest+1<<20-1)>>20)
}
