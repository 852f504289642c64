package smtp

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// Certificate is a TLS certificate that is read again when its files change.
type Certificate struct {
	certFile, keyFile string
	log               *slog.Logger

	mu     sync.Mutex // guards what follows
	loaded *tls.Certificate
	state  [2]fileState // of the files when they were last read
}

// fileState tells one version of a file from another.
type fileState struct {
	info    os.FileInfo
	size    int64
	changed time.Time
}

func stateOf(path string) fileState {
	i, err := os.Stat(path)
	if err != nil {
		return fileState{}
	}
	return fileState{i, i.Size(), i.ModTime()}
}

func (s fileState) same(t fileState) bool {
	if s.info == nil || t.info == nil {
		return s.info == nil && t.info == nil
	}
	return s.size == t.size && s.changed.Equal(t.changed) && os.SameFile(s.info, t.info)
}

// LoadCertificate reads a certificate chain and its key, both PEM.
func LoadCertificate(certFile, keyFile string, log *slog.Logger) (*Certificate, error) {
	c := &Certificate{certFile: certFile, keyFile: keyFile, log: log}
	if err := c.load(); err != nil {
		return nil, err
	}
	return c, nil
}

// Get returns the certificate: Config.Certificate. It looks at the files and
// reads them again when they have changed. While they cannot be read, or do not
// fit each other, the old certificate stays.
func (c *Certificate) Get() (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.state[0].same(stateOf(c.certFile)) || !c.state[1].same(stateOf(c.keyFile)) {
		if err := c.load(); err != nil {
			c.log.Error("the changed TLS certificate is not usable, the old one stays", "error", err.Error())
		} else {
			c.log.Info("TLS certificate reloaded", "file", c.certFile, "not_after", c.loaded.Leaf.NotAfter)
		}
	}
	return c.loaded, nil
}

// load notes the files' state before it reads them, so that a change in
// between is seen at the next look.
func (c *Certificate) load() error {
	c.state = [2]fileState{stateOf(c.certFile), stateOf(c.keyFile)}
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return fmt.Errorf("TLS certificate %s: %w", c.certFile, err)
	}
	c.loaded = &pair
	return nil
}
