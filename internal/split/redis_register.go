package split

import (
	"context"
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"
)

// register is what a RedisStore asks of Redis. Each call is bounded in time,
// and takes effect at one moment or not at all.
type register interface {
	// read gets the state. Its errors are errNewer and those of the connection.
	read(ctx context.Context) (stored, error)
	// replace puts raw where was has been read, or where raw is already, adds to
	// the history the lines that it lacks and tells the others. Its errors are
	// errConflict, errLate, errSilent, and a refusal of Redis.
	replace(ctx context.Context, was stored, raw string, lines []any) error
	// history returns its lines, newest first.
	history(ctx context.Context) ([]string, error)
	// restore replaces the history that begins with head; false: it begins
	// otherwise by now.
	restore(ctx context.Context, head string, lines []any) (bool, error)
	// listen hands over the messages until ctx ends, and "" when some may have
	// been missed.
	listen(ctx context.Context, hear func(payload string))
}

// keys is the register of one fleet in Redis.
type keys struct {
	client         redis.UniversalClient
	state, changes string
	channel        string
}

// read implements register. A state that is damaged counts as none: whoever
// holds a good one replaces it.
func (k *keys) read(ctx context.Context) (stored, error) {
	ctx, cancel := context.WithTimeout(ctx, redisTimeout)
	defer cancel()
	answer, err := readScript.Run(ctx, k.client, []string{k.state, k.changes}).Slice()
	if err == nil && len(answer) != 3 {
		err = errors.New("an answer of another form")
	}
	if err != nil {
		return stored{}, fmt.Errorf("redis: read the split: %w", err)
	}
	var got stored
	got.raw, _ = answer[0].(string)
	got.now, _ = answer[1].(int64)
	got.head, _ = answer[2].(string)
	return got, got.decode()
}

// errConflict: another instance was faster.
var errConflict = errors.New("another state is stored")

// errLate: Redis began too late, and has changed nothing.
var errLate = errors.New("redis: it took the change up too late, and dropped it")

// errSilent: the command was sent, and what became of it is not known.
var errSilent = errors.New("redis did not answer")

// replace implements register.
func (k *keys) replace(ctx context.Context, was stored, raw string, lines []any) error {
	args := append([]any{was.raw, raw, k.channel, was.now + lateAfter.Microseconds(), MaxHistory}, lines...)
	ctx, cancel := context.WithTimeout(ctx, redisTimeout)
	defer cancel()
	answer, err := replaceScript.Run(ctx, k.client, []string{k.state, k.changes}, args...).Int()
	if err != nil {
		var refused redis.Error
		if errors.As(err, &refused) { // OOM, READONLY, NOPERM ...: Redis has answered, and not done it
			return fmt.Errorf("redis: %w", err)
		}
		return fmt.Errorf("%w: %w", errSilent, err)
	}
	return map[int]error{0: errConflict, 1: nil, 2: errLate}[answer]
}

// history implements register.
func (k *keys) history(ctx context.Context) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, redisTimeout)
	defer cancel()
	all, err := k.client.LRange(ctx, k.changes, 0, MaxHistory-1).Result()
	if redis.HasErrorPrefix(err, "WRONGTYPE") { // damage, see keyTypes
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("redis: read the history: %w", err)
	}
	return all, nil
}

// restore implements register.
func (k *keys) restore(ctx context.Context, head string, lines []any) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, redisTimeout)
	defer cancel()
	done, err := restoreScript.Run(ctx, k.client, []string{k.changes}, append([]any{head}, lines...)...).Int()
	if err != nil {
		return false, fmt.Errorf("redis: restore the history: %w", err)
	}
	return done == 1, nil
}

// listen implements register. The client subscribes again by itself.
func (k *keys) listen(ctx context.Context, hear func(payload string)) {
	sub := k.client.Subscribe(ctx, k.channel)
	defer sub.Close()
	messages := sub.ChannelWithSubscriptions()
	for {
		select {
		case <-ctx.Done():
			return
		case m, ok := <-messages:
			if !ok {
				return
			}
			told, _ := m.(*redis.Message)
			if told == nil { // subscribed, perhaps again
				told = &redis.Message{}
			}
			hear(told.Payload)
		}
	}
}
