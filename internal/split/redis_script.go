package split

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

// redisTimeout bounds every command: a Redis that is frozen looks like one that
// is gone.
const redisTimeout = 250 * time.Millisecond

// lateAfter is how long Redis may take, by its own clock, to begin a change. A
// command that a frozen Redis finds in its buffers later does nothing.
const lateAfter = time.Second

// readScript answers the state, Redis's time in microseconds (which fits the 53
// bits of a Lua number until the year 2255), and what the history is known by:
// its length and newest line.
var readScript = redis.NewScript(`
local t = redis.call('TIME')
return {redis.call('GET', KEYS[1]) or '', t[1] * 1000000 + t[2], redis.call('LLEN', KEYS[2]) .. (redis.call('LINDEX', KEYS[2], 0) or '')}`)

// replaceScript sets the state when it is still the one that was read, adds to
// the history and tells the other instances.
//
//	KEYS state, history
//	ARGV what was read, "" for nothing; the new state; the channel; the last
//	     moment in microseconds; the history's length; lines for the history,
//	     oldest first
//	returns {0 another state is there | 1 done | 2 too late, the state}
var replaceScript = redis.NewScript(`
local was = redis.call('GET', KEYS[1]) or ''
if was ~= ARGV[1] then return {0, was} end
local t = redis.call('TIME')
if t[1] * 1000000 + t[2] > tonumber(ARGV[4]) then return {2, was} end
redis.call('SET', KEYS[1], ARGV[2])
for i = 6, #ARGV do redis.call('LPUSH', KEYS[2], ARGV[i]) end
redis.call('LTRIM', KEYS[2], 0, ARGV[5] - 1)
if was ~= ARGV[2] then redis.call('PUBLISH', ARGV[3], ARGV[2]) end
return {1, ARGV[2]}`)

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
	if err := json.Unmarshal([]byte(raw), &s); err != nil {
		return State{}, fmt.Errorf("the split in Redis is damaged: %w", err)
	}
	if s.Format > sharedFormat {
		return State{}, errNewer
	}
	s.Unshared = false
	err := s.check()
	if err == nil {
		err = s.checkTexts()
	}
	if err != nil || s.Format < 1 {
		return State{}, fmt.Errorf("the split in Redis is damaged: %w", errors.Join(err))
	}
	return s.State, nil
}

// checkTexts refuses what has no place in a log line.
func (s *State) checkTexts() error {
	texts := []string{s.Reason, s.ChangedBy}
	if s.Brake != nil {
		texts = append(texts, s.Brake.By, s.Brake.Reason)
	}
	for _, text := range texts {
		if _, err := clean(text, ErrReason); err != nil && text != "" {
			return err
		}
	}
	return nil
}

func encodeShared(s State) (string, error) {
	s.Unshared = false
	b, err := json.Marshal(sharedState{sharedFormat, s})
	return string(b), err
}

// read gets the state. A state that is damaged counts as none: whoever holds a
// good one replaces it.
func (s *RedisStore) read(ctx context.Context) (stored, error) {
	ctx, cancel := context.WithTimeout(ctx, redisTimeout)
	defer cancel()
	answer, err := readScript.Run(ctx, s.client, []string{s.keyState, s.keyHistory}).Slice()
	if err == nil && len(answer) != 3 {
		err = errors.New("an answer of another form")
	}
	if s.note(err) != nil {
		return stored{}, fmt.Errorf("redis: read the split: %w", err)
	}
	var got stored
	got.raw, _ = answer[0].(string)
	got.now, _ = answer[1].(int64)
	got.head, _ = answer[2].(string)
	if got.raw == "" {
		return got, nil
	}
	got.state, err = decodeShared(got.raw)
	if errors.Is(err, errNewer) {
		return stored{}, s.note(err)
	}
	got.found = err == nil
	return got, nil
}

// errConflict: another instance was faster.
var errConflict = errors.New("another state is stored")

// errLate: Redis began too late, and has changed nothing.
var errLate = errors.New("redis: it took the change up too late, and dropped it")

// errSilent: the command was sent, and what became of it is not known.
var errSilent = errors.New("redis did not answer")

// replace puts next where was has been read. Its errors are errConflict,
// errLate and errSilent.
func (s *RedisStore) replace(ctx context.Context, was stored, next State, changes []Change) error {
	raw, err := encodeShared(next)
	if err != nil {
		return err
	}
	args := append([]any{was.raw, raw, s.channel, was.now + lateAfter.Microseconds(), MaxHistory}, lines(changes)...)
	ctx, cancel := context.WithTimeout(ctx, redisTimeout)
	defer cancel()
	answer, err := replaceScript.Run(ctx, s.client, []string{s.keyState, s.keyHistory}, args...).Slice()
	if s.note(err) != nil {
		var refused redis.Error
		if errors.As(err, &refused) { // OOM, READONLY, NOPERM ...: Redis has answered, and not done it
			return fmt.Errorf("redis: %w", err)
		}
		return fmt.Errorf("%w: %w", errSilent, err)
	}
	return replaced(answer, raw, next.Version > was.state.Version)
}

// replaced reads the script's answer. A command that the client has repeated
// finds its own version.
func replaced(answer []any, raw string, versioned bool) error {
	if len(answer) != 2 {
		return fmt.Errorf("%w: an answer of another form", errSilent)
	}
	switch code, _ := answer[0].(int64); {
	case code == 1, versioned && answer[1] == raw:
		return nil
	case code == 2:
		return errLate
	}
	return errConflict
}
