package smtp

import (
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"
)

// listener is one address that is being listened on. Its settings may change:
// a connection keeps those that it was accepted with.
type listener struct {
	net      net.Listener
	settings atomic.Pointer[Listener]
	done     chan struct{} // closed when the accept loop has ended
}

// SetListeners makes the service listen on exactly these addresses: it opens
// what is new, changes what is there, then closes what is gone. Open
// connections stay. When one cannot be opened nothing changes.
func (s *Server) SetListeners(want []Listener) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(want) > 0 && s.phase.Load() != serving {
		return errors.New("smtp: the service is shutting down")
	}
	next, err := s.openListeners(want)
	if err != nil {
		return err
	}
	for i := range want {
		l := next[want[i].Address]
		l.settings.Store(want[i].withDefaults())
		if s.listeners[want[i].Address] == nil {
			go s.accept(l)
		}
	}
	for address, l := range s.listeners {
		if next[address] == nil {
			l.net.Close()
		}
	}
	s.listeners = next
	return nil
}

// openListeners returns the listeners for want, opened or already there. On an
// error it closes those that it opened.
func (s *Server) openListeners(want []Listener) (map[string]*listener, error) {
	next := map[string]*listener{}
	var errs []error
	for _, w := range want {
		l, err := s.openListener(w, next[w.Address] != nil)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		next[w.Address] = l
	}
	if len(errs) == 0 {
		return next, nil
	}
	for address, l := range next {
		if s.listeners[address] == nil {
			l.net.Close()
		}
	}
	return nil, errors.Join(errs...)
}

func (s *Server) openListener(w Listener, twice bool) (*listener, error) {
	if err := w.check(s.cfg.Certificate != nil); err != nil {
		return nil, err
	}
	if twice {
		return nil, fmt.Errorf("listener %s: the address stands twice", w.Address)
	}
	if l := s.listeners[w.Address]; l != nil {
		return l, nil
	}
	l, err := net.Listen("tcp", w.Address)
	if err != nil {
		return nil, fmt.Errorf("listener %s: %w", w.Address, err)
	}
	return &listener{net: l, done: make(chan struct{})}, nil
}

// Addr returns the address that the listener of the configuration really has,
// or nil: for a configured port 0.
func (s *Server) Addr(address string) net.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.listeners[address]; l != nil {
		return l.net.Addr()
	}
	return nil
}

// accept takes connections until the listener is closed. Nothing that a client
// can delay happens here.
func (s *Server) accept(l *listener) {
	defer close(l.done)
	for pause := time.Duration(0); ; {
		c, err := l.net.Accept()
		switch {
		case err == nil:
			pause = 0
			s.welcome(l, c)
		case errors.Is(err, net.ErrClosed):
			return
		default: // out of file descriptors, or the client is gone already
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			s.log.Error("accept failed", "listener", l.net.Addr().String(), "err", err, "pause", pause.String())
			time.Sleep(pause)
		}
	}
}
