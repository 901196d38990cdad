package durable

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
)

// The priorities of a run. Higher goes first.
const (
	MinPriority = -10
	MaxPriority = 10
)

// The names of what JetStream keeps.
const (
	workStream    = "DAGUERRE_WORK"
	eventStream   = "DAGUERRE_EVENTS"
	deadStream    = "DAGUERRE_DEAD"
	adviceStream  = "DAGUERRE_ADVICE"
	runBucket     = "daguerre_runs"
	laneBucket    = "daguerre_lanes"
	workerBucket  = "daguerre_workers"
	listingBucket = "daguerre_listings"
	previewStore  = "daguerre_previews"

	workRoot   = "daguerre.work."
	eventRoot  = "daguerre.events."
	liveRoot   = "daguerre.live."
	deadRoot   = "daguerre.dead."
	askRoot    = "daguerre.ask."
	wakeRoot   = "daguerre.wake."
	boardTopic = "daguerre.board"
	adviceRoot = "$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES." + workStream + ".>"
)

// plain is the alphabet of ids: letters and digits that work in subjects, keys, paths and URLs.
var plain = base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding)

// idBytes are the bytes of an id.
const idBytes = 15

// NewID draws the id of a run.
func NewID() string {
	var b [idBytes]byte
	_, _ = rand.Read(b[:]) // it never fails
	return "r" + plain.EncodeToString(b[:])
}

// KeyedID is the id of the run that an owner submits under a key: always the same, so that a second try finds the first.
func KeyedID(owner, key string) string {
	sum := sha256.Sum256([]byte(owner + "\x00" + key))
	return "r" + plain.EncodeToString(sum[:idBytes])
}

// IsID reports whether a text may be the id of a run.
func IsID(s string) bool {
	if len(s) != 1+idBytes*8/5 || s[0] != 'r' {
		return false
	}
	_, err := plain.DecodeString(s[1:])
	return err == nil
}

// IsName reports whether a text may name an owner: it becomes a part of subjects, keys and paths.
func IsName(s string) bool {
	for _, c := range s {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-') {
			return false
		}
	}
	return s != "" && len(s) <= 64
}

// Lane is a queue of its own: the runs of one owner with one priority for one model, in their order.
type Lane struct {
	Priority int    `json:"priority"`
	Owner    string `json:"owner"`
	Model    string `json:"model"`
}

func (r Record) lane() Lane { return Lane{r.Priority, r.Owner, r.Model} }

// path is the lane as parts of a subject.
func (l Lane) path() string {
	return strconv.Itoa(l.Priority-MinPriority) + "." + l.Owner + "." + modelPart(l.Model)
}

// modelPart is a model as a part of a subject.
func modelPart(model string) string {
	sum := sha256.Sum256([]byte(model))
	return hex.EncodeToString(sum[:6])
}

// wake is the topic on which those who wait for runs of the lane's model hear of them.
func (l Lane) wake() string { return wakeRoot + modelPart(l.Model) }

// consumer names the consumer of the lane.
func (l Lane) consumer() string { return "lane_" + strings.ReplaceAll(l.path(), ".", "_") }

// subject is that of the message of a run's piece, by its first picture.
func (l Lane) subject(id string, from int) string {
	s := workRoot + l.path() + "." + id
	if from > 0 {
		s += "." + strconv.Itoa(from)
	}
	return s
}

// key is where a record is kept.
func key(owner, id string) string { return owner + "." + id }

func eventSubject(owner, id string) string { return eventRoot + owner + "." + id }
func liveSubject(owner, id string) string  { return liveRoot + owner + "." + id }
func deadSubject(owner, id string) string  { return deadRoot + owner + "." + id }
func askSubject(owner, id string) string   { return askRoot + owner + "." + id }

// turnID tells the message of a piece in a run's turn from others, also from a second copy of itself.
func turnID(r Record) string { return fmt.Sprintf("%s.%d.%d", r.ID, r.Turn, r.From) }
