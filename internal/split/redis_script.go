package split

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
)

// redisTimeout bounds every command: a Redis that is frozen looks like one that
// is gone.
const redisTimeout = 250 * time.Millisecond

// lateAfter is how long Redis may take, by its own clock, to begin a change. A
// command that a frozen Redis finds in its buffers later does nothing.
const lateAfter = time.Second

// maxState is more than any state needs. What is longer is damage, and is not
// even read.
const maxState = 1 << 20

// keyTypes is the beginning of every script: how to read keys that anybody may
// have put something else into. What is no string, or is too long, is a state
// that no relay has written, and what is no list is a history without lines.
var keyTypes = `
local function state(key)
	local kind = redis.call('TYPE', key).ok
	if kind == 'none' then return '' end
	if kind ~= 'string' or redis.call('STRLEN', key) > ` + strconv.Itoa(maxState) + ` then return 'no state' end
	return redis.call('GET', key)
end
local function head(key)
	local kind = redis.call('TYPE', key).ok
	if kind ~= 'none' and kind ~= 'list' then return 'no history' end
	return redis.call('LLEN', key) .. (redis.call('LINDEX', key, 0) or '')
end
`

// readScript answers the state, Redis's time in microseconds (which fits the 53
// bits of a Lua number until the year 2255), and what the history is known by:
// its length and newest line.
var readScript = redis.NewScript(keyTypes + `
local t = redis.call('TIME')
return {state(KEYS[1]), t[1] * 1000000 + t[2], head(KEYS[2])}`)

// replaceScript sets the state when it is still the one that was read, adds to
// the history and tells the other instances. A command that is repeated, because
// the answer was lost, changes nothing more; nor does one that comes to what
// another has written already, but its lines are added.
//
//	KEYS state, history
//	ARGV what was read, "" for nothing; the new state; the channel; the last
//	     moment in microseconds; the history's length; lines for the history,
//	     oldest first
//	returns 0 another state is there | 1 done | 2 too late
var replaceScript = redis.NewScript(keyTypes + `
local was = state(KEYS[1])
if was ~= ARGV[1] and was ~= ARGV[2] then return 0 end
local t = redis.call('TIME')
if t[1] * 1000000 + t[2] > tonumber(ARGV[4]) then return 2 end
if was ~= ARGV[2] then redis.call('SET', KEYS[1], ARGV[2]) end
if head(KEYS[2]) == 'no history' then redis.call('DEL', KEYS[2]) end
for i = 6, #ARGV do
	if not redis.call('LPOS', KEYS[2], ARGV[i], 'MAXLEN', 100) then redis.call('LPUSH', KEYS[2], ARGV[i]) end
end
redis.call('LTRIM', KEYS[2], 0, ARGV[5] - 1)
if was ~= ARGV[2] then redis.call('PUBLISH', ARGV[3], ARGV[2]) end
return 1`)

// restoreScript replaces the history by one that has more lines, when it is
// still the one that was read.
//
//	KEYS history
//	ARGV its length and newest line; lines, newest first
var restoreScript = redis.NewScript(keyTypes + `
if head(KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1])
for i = 2, #ARGV do redis.call('RPUSH', KEYS[1], ARGV[i]) end
return 1`)

// stored is what one read found.
type stored struct {
	raw   string
	now   int64  // Redis's clock, microseconds
	head  string // length and newest line of the history
	state State
	found bool // false: nothing, or nothing that a relay has written
}

// errNewer is a state that this relay does not understand and must not replace.
var errNewer = errors.New("the split in Redis was written by a newer relay: update this one")

// sharedFormat is the version of the layout in Redis.
const sharedFormat = 1

// sharedState is the layout of the state's key and of the messages.
type sharedState struct {
	Format int `json:"format"`
	State
}

// decodeShared reads a state and checks everything in it (whoever can write to
// Redis can write anything). Fields that it does not know are a newer relay's.
func decodeShared(raw string) (State, error) {
	var s sharedState
	if len(raw) > maxState {
		return State{}, errors.New("the split in Redis is damaged: it is too long")
	}
	if err := json.Unmarshal([]byte(raw), &s); err != nil {
		return State{}, fmt.Errorf("the split in Redis is damaged: %w", err)
	}
	if s.Format > sharedFormat {
		return State{}, errNewer
	}
	s.nameBrake()
	err := s.check()
	if err == nil {
		err = s.checkTexts()
	}
	if err != nil || s.Format < 1 {
		return State{}, fmt.Errorf("the split in Redis is damaged: %w", errors.Join(err))
	}
	s.brakes(&s.State, &s.State) // in order, without doubles
	return s.State, nil
}

// checkTexts refuses what has no place in a log line.
func (s *State) checkTexts() error {
	texts := []string{s.Reason, s.ChangedBy}
	for _, p := range s.Pulls {
		texts = append(texts, p.By, p.Reason)
	}
	for _, text := range texts {
		if _, err := clean(text, ErrReason); err != nil && text != "" {
			return err
		}
	}
	return nil
}

func encodeShared(s State) (string, error) {
	b, err := json.Marshal(sharedState{sharedFormat, s})
	return string(b), err
}

// decode reads raw. Its error is errNewer.
func (got *stored) decode() (err error) {
	if got.raw == "" {
		return nil
	}
	got.state, err = decodeShared(got.raw)
	if errors.Is(err, errNewer) {
		return err
	}
	got.found = err == nil
	return nil
}
