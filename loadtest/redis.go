package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// redisProcess is the redis-server that the relays share, without persistence.
type redisProcess struct {
	*process
	URL    string
	client *redis.Client
}

// redisPrograms are looked for in this order; they are told apart by name only.
var redisPrograms = []string{"redis-server", "valkey-server"}

func startRedis(ctx context.Context, dir string) (*redisProcess, error) {
	program, err := findRedis()
	if err != nil {
		return nil, err
	}
	ports, err := freePorts(1)
	if err != nil {
		return nil, err
	}
	host, port, _ := net.SplitHostPort(ports[0])
	p, err := startProcess("redis", dir, exec.Command(program, "--bind", host, "--port", port, "--save", "", "--appendonly", "no", "--dir", dir))
	if err != nil {
		return nil, err
	}
	r := &redisProcess{process: p, URL: "redis://" + ports[0], client: redis.NewClient(&redis.Options{Addr: ports[0], MaxRetries: -1})}
	waiting, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if err := r.await(waiting, func() error { return r.client.Ping(waiting).Err() }); err != nil {
		return nil, errors.Join(err, r.stop(time.Second))
	}
	return r, nil
}

func findRedis() (string, error) {
	for _, name := range redisPrograms {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("several relays share their state in Redis: none of %s is installed (Debian: apt-get install redis-server)",
		strings.Join(redisPrograms, ", "))
}

// commands is how many commands the server has processed; 0 without a server.
func (r *redisProcess) commands(ctx context.Context) int64 {
	if r == nil {
		return 0
	}
	info, err := r.client.Info(ctx, "stats").Result()
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(info, "total_commands_processed:")
	text, _, _ := strings.Cut(rest, "\r")
	n, _ := strconv.ParseInt(text, 10, 64)
	return n
}

func (r *redisProcess) stop(patience time.Duration) error {
	return errors.Join(r.client.Close(), r.process.stop(patience))
}
