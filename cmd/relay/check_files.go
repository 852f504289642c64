package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"sesrelay/cmd/relay/internal/config"
	"sesrelay/internal/mask"
	"sesrelay/internal/smtp"
	"sesrelay/internal/split"
)

// Days before the end of a certificate at which it is time to act.
const expiresSoon = 21 * 24 * time.Hour

// checkCertificate judges the listeners' certificate as a client would.
func checkCertificate(cfg *config.Config, now time.Time) []finding {
	if cfg.TLS.CertificateFile == "" {
		return nil
	}
	const name = "certificate"
	pair, err := tls.LoadX509KeyPair(cfg.TLS.CertificateFile, cfg.TLS.KeyFile)
	if err != nil {
		return []finding{{levelFail, name, err.Error(), "tls.certificate_file and tls.key_file must be PEM, readable, and belong together"}}
	}
	leaf := pair.Leaf
	detail := fmt.Sprintf("%s, valid until %s", certificateNames(leaf), when(leaf.NotAfter))
	switch left := leaf.NotAfter.Sub(now); {
	case left <= 0:
		return []finding{{levelFail, name, detail + ": expired", "renew it; the relay reads the new file by itself"}}
	case now.Before(leaf.NotBefore):
		return []finding{{levelFail, name, detail + ": valid only from " + when(leaf.NotBefore), "is the clock right?"}}
	case left < expiresSoon:
		return []finding{{levelWarning, name, fmt.Sprintf("%s: %d days left", detail, int(left.Hours()/24)), "renew it; the relay reads the new file by itself"}}
	}
	if err := leaf.VerifyHostname(cfg.Hostname); err != nil {
		return []finding{{levelWarning, name, fmt.Sprintf("%s: does not name %s", detail, cfg.Hostname),
			"a client that verifies (smtp_tls_security_level = secure) must call the relay by a name in it"}}
	}
	return []finding{{Level: levelOK, Name: name, Detail: detail}}
}

func certificateNames(leaf *x509.Certificate) string {
	names := append([]string{}, leaf.DNSNames...)
	for _, ip := range leaf.IPAddresses {
		names = append(names, ip.String())
	}
	if len(names) == 0 {
		return leaf.Subject.String()
	}
	return strings.Join(names, ", ")
}

// checkSecrets reads the files that hold users, tokens and the password, and
// the authorities of Cuenote.
func checkSecrets(cfg *config.Config) []finding {
	var found []finding
	if file := cfg.Access.UsersFile; file != "" {
		_, err := smtp.ReadUsers(file)
		found = append(found, fileFinding("users_file", file, err, "write name:bcrypt per line, as htpasswd -B does"))
	}
	if file := cfg.Admin.TokensFile; file != "" {
		found = append(found, fileFinding("tokens_file", file, readTokens(file), "write the lines that relay token new prints"))
	}
	if file := cfg.Cuenote.PasswordFile; file != "" {
		_, err := cfg.CuenotePassword()
		found = append(found, fileFinding("cuenote.password_file", file, err, "write the password alone into it"))
	}
	if file := cfg.State.SecretFile; file != "" {
		_, err := config.ReadSecret(file)
		found = append(found, fileFinding("state.secret_file", file, err, "write one secret into it, the same on every instance"))
	}
	if file := cfg.Log.KeyFile; file != "" {
		key, err := config.ReadSecret(file)
		if err == nil {
			_, err = mask.New(mask.Masked, []byte(key))
		}
		found = append(found, fileFinding("log.key_file", file, err, "write a secret of 16 bytes or more into it, on one line"))
	}
	if file := cfg.Cuenote.CAFile; file != "" {
		found = append(found, fileFinding("cuenote.ca_file", file, readAuthorities(file), "write the authorities' certificates as PEM"))
	}
	return found
}

// fileFinding also warns of a secret that everybody on the machine can read.
func fileFinding(name, file string, err error, fix string) finding {
	if err != nil {
		return finding{levelFail, name, err.Error(), fix}
	}
	info, err := os.Stat(file)
	if err == nil && info.Mode().Perm()&0o004 != 0 && name != "cuenote.ca_file" {
		return finding{levelWarning, name, file + " can be read by everybody on this machine", "chmod o-rwx " + file}
	}
	return finding{Level: levelOK, Name: name, Detail: file}
}

func readAuthorities(file string) error {
	data, err := os.ReadFile(file)
	if err == nil && !x509.NewCertPool().AppendCertsFromPEM(data) {
		err = fmt.Errorf("%s holds no certificate", file)
	}
	return err
}

// checkState looks whether the relay could write its state. It leaves nothing
// behind: a lock file of root's would keep the relay's own user out.
func checkState(file string) []finding {
	const name, fix = "state.file", "run relay check as the relay's user, and make the directory writable for it"
	if file == "" {
		return []finding{{levelWarning, name, "none: a restart begins with split.ses_percent, and forgets the history", "write state.file: /var/lib/relay/state.json"}}
	}
	probe, err := os.CreateTemp(filepath.Dir(file), ".relay-check-*")
	if err != nil {
		return []finding{{levelFail, name, err.Error(), fix}}
	}
	if err := errors.Join(probe.Close(), os.Remove(probe.Name())); err != nil {
		return []finding{{levelFail, name, err.Error(), fix}}
	}
	if _, err := os.Stat(file + ".lock"); err != nil {
		if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
			return []finding{{Level: levelOK, Name: name, Detail: file + " will be made at the first change"}}
		}
	}
	return []finding{openState(file)}
}

// openState reads the state as the relay would.
func openState(file string) finding {
	lock, err := os.OpenFile(file+".lock", os.O_RDWR, 0)
	if err == nil {
		defer lock.Close()
		if syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil {
			return finding{Level: levelOK, Name: "state.file", Detail: file + " is in use by a running relay"}
		}
		if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_UN); err != nil {
			return finding{levelFail, "state.file", err.Error(), ""}
		}
	}
	store, err := split.OpenFile(file)
	if err != nil {
		return finding{levelFail, "state.file", strings.TrimPrefix(err.Error(), "state.file: "), "a state that cannot be read keeps the relay from starting"}
	}
	defer store.Close()
	state, stored, err := store.Load(context.Background())
	switch {
	case err != nil:
		return finding{levelFail, "state.file", err.Error(), ""}
	case !stored:
		return finding{Level: levelOK, Name: "state.file", Detail: file + " holds no split yet"}
	}
	return finding{Level: levelOK, Name: "state.file", Detail: fmt.Sprintf("%s: version %d, SES %s %%, by %s", file, state.Version, state.Applied(), state.ChangedBy)}
}

// checkOpenFiles compares the connections with what the system lets a process
// open. Go raises the soft limit to the hard one by itself.
func checkOpenFiles(cfg *config.Config) []finding {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return nil
	}
	const own = 100 // listeners, log, API
	need := uint64(cfg.Limits.Connections + cfg.Cuenote.Connections + cfg.SES.MaxInFlight + own)
	if limit.Max >= need {
		return []finding{{Level: levelOK, Name: "open files", Detail: fmt.Sprintf("%d needed at most, %d allowed", need, limit.Max)}}
	}
	return []finding{{levelWarning, "open files", fmt.Sprintf("%d needed at most, %d allowed here", need, limit.Max),
		fmt.Sprintf("LimitNOFILE=%d in the unit, or lower limits.connections", need)}}
}
