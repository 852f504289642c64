package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// process is a program that this run started; only such are ever ended.
type process struct {
	Name string
	cmd  *exec.Cmd
	in   io.Closer
	done chan struct{}
	err  error // of Wait; read after done
}

// startProcess runs a program with its output, where the command does not say
// otherwise, in a file of the run's folder. Its standard input stays open as long
// as this process lives.
func startProcess(name, dir string, cmd *exec.Cmd) (*process, error) {
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(dir, name+".log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd.Stderr = log
	if cmd.Stdout == nil {
		cmd.Stdout = log
	}
	cmd.SysProcAttr = ownGroup() // Ctrl-C reaches this process only, which then ends the others in order
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	p := &process{Name: name, cmd: cmd, in: in, done: make(chan struct{})}
	go func() { p.err = cmd.Wait(); close(p.done) }()
	return p, nil
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// stop ends the process: SIGTERM, and SIGKILL when it does not go.
func (p *process) stop(patience time.Duration) error {
	p.cmd.Process.Signal(syscall.SIGTERM)
	p.in.Close()
	select {
	case <-p.done:
		return nil
	case <-time.After(patience):
		p.cmd.Process.Kill()
		<-p.done
		return fmt.Errorf("%s did not end within %s and was killed", p.Name, patience)
	}
}

// kill ends the process at once, as a machine that fails does.
func (p *process) kill() {
	p.cmd.Process.Kill()
	<-p.done
}

// ended says that the process is gone, and why.
func (p *process) ended() error {
	select {
	case <-p.done:
		return fmt.Errorf("%s has ended: %w", p.Name, errors.Join(p.err, errUnexpectedEnd))
	default:
		return nil
	}
}

var errUnexpectedEnd = errors.New("nobody told it to")

// await asks until ok returns nil, the process ends, or ctx does.
func (p *process) await(ctx context.Context, ok func() error) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ok()
		if err == nil {
			return nil
		}
		select {
		case <-p.done:
			return p.ended()
		case <-ctx.Done():
			return fmt.Errorf("%s: %w", p.Name, err)
		case <-tick.C:
		}
	}
}
