package fleet

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// Times of the client. A Redis that needs longer counts as away; nothing on
// the way of a mail waits for it.
const (
	dialTimeout = 250 * time.Millisecond
	ioTimeout   = 500 * time.Millisecond // where no context is shorter
)

// noRetry: a command that is sent a second time because its answer was lost
// takes tokens of the quota twice. The stores try again by themselves.
const noRetry = -1

// Dial returns the client for state.redis; it connects when it is used.
//
//	redis://[user:password@]host:6379[/db]       one server; rediss:// with TLS
//	redis://host:6379?cluster=true&addr=host2:6379  a cluster
//	redis://host:26379?master_name=relay&addr=host2:26379  Sentinel
//
// With rediss://, ca_file=PATH names the certificates to trust instead of the
// system's. The other options are go-redis's. Errors never hold the password.
func Dial(address string) (redis.UniversalClient, error) {
	logging.Disable() // of every connection that was lost; the stores say what they could not do
	u, err := url.Parse(address)
	if err != nil {
		return nil, errors.New("state.redis: this is no URL: write redis://host:6379 or rediss://host:6379")
	}
	q := u.Query()
	roots, err := readRoots(q.Get("ca_file"))
	if err != nil {
		return nil, err
	}
	cluster := q.Get("cluster") == "true"
	q.Del("ca_file")
	q.Del("cluster")
	u.RawQuery = q.Encode()
	switch {
	case q.Has("master_name"):
		return dialSentinel(u.String(), roots)
	case cluster:
		return dialCluster(u.String(), roots)
	}
	return dialOne(u.String(), roots)
}

// readRoots reads certificates to trust; nil without a file: the system's.
func readRoots(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("state.redis: ca_file: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(b) {
		return nil, fmt.Errorf("state.redis: ca_file: %s holds no certificate in PEM form", file)
	}
	return roots, nil
}

// trust sets the roots where TLS is used at all.
func trust(c *tls.Config, roots *x509.CertPool) {
	if c != nil && roots != nil {
		c.RootCAs = roots
	}
}

func dialOne(address string, roots *x509.CertPool) (redis.UniversalClient, error) {
	o, err := redis.ParseURL(address)
	if err != nil {
		return nil, refused(err)
	}
	trust(o.TLSConfig, roots)
	o.ContextTimeoutEnabled, o.DialerRetries, o.MaxRetries = true, 1, noRetry
	o.DialTimeout, o.ReadTimeout, o.WriteTimeout, o.PoolTimeout = bounds(o.DialTimeout, o.ReadTimeout, o.WriteTimeout, o.PoolTimeout)
	o.MaintNotificationsConfig = quiet()
	return redis.NewClient(o), nil
}

func dialCluster(address string, roots *x509.CertPool) (redis.UniversalClient, error) {
	o, err := redis.ParseClusterURL(address)
	if err != nil {
		return nil, refused(err)
	}
	trust(o.TLSConfig, roots)
	o.ContextTimeoutEnabled, o.DialerRetries, o.MaxRetries = true, 1, noRetry
	o.DialTimeout, o.ReadTimeout, o.WriteTimeout, o.PoolTimeout = bounds(o.DialTimeout, o.ReadTimeout, o.WriteTimeout, o.PoolTimeout)
	o.MaintNotificationsConfig = quiet()
	return redis.NewClusterClient(o), nil
}

func dialSentinel(address string, roots *x509.CertPool) (redis.UniversalClient, error) {
	o, err := redis.ParseFailoverURL(address)
	if err != nil {
		return nil, refused(err)
	}
	trust(o.TLSConfig, roots)
	o.ContextTimeoutEnabled, o.DialerRetries, o.MaxRetries = true, 1, noRetry
	o.DialTimeout, o.ReadTimeout, o.WriteTimeout, o.PoolTimeout = bounds(o.DialTimeout, o.ReadTimeout, o.WriteTimeout, o.PoolTimeout)
	return redis.NewFailoverClient(o), nil
}

// bounds keeps the times that the URL names.
func bounds(dial, read, write, pool time.Duration) (_, _, _, _ time.Duration) {
	or := func(named, otherwise time.Duration) time.Duration {
		if named != 0 {
			return named
		}
		return otherwise
	}
	return or(dial, dialTimeout), or(read, ioTimeout), or(write, ioTimeout), or(pool, ioTimeout)
}

// quiet leaves out a handshake of hosted Redis that the open one refuses.
func quiet() *maintnotifications.Config {
	return &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
}

// refused keeps the password out of the error: a *url.Error quotes the URL.
func refused(err error) error {
	if quoted, ok := errors.AsType[*url.Error](err); ok {
		err = quoted.Err
	}
	return fmt.Errorf("state.redis: %w", err)
}
