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
	"sesrelay/cmd/relay/internal/finding"
	"sesrelay/internal/mask"
	"sesrelay/internal/smtp"
	"sesrelay/internal/split"
)

// Days before the end of a certificate at which it is time to act.
const expiresSoon = 21 * 24 * time.Hour

func one(f finding.Finding) []finding.Finding { return []finding.Finding{f} }

// checkCertificate judges the listeners' certificate as a client would.
func checkCertificate(cfg *config.Config, now time.Time) []finding.Finding {
	if cfg.TLS.CertificateFile == "" {
		return nil
	}
	const name = "certificate"
	pair, err := tls.LoadX509KeyPair(cfg.TLS.CertificateFile, cfg.TLS.KeyFile)
	if err != nil {
		return one(finding.Fail(name, err.Error(), finding.Run("tls.certificate_file and tls.key_file must be PEM, readable, and belong together",
			fmt.Sprintf("ls -l %[1]s %[2]s; openssl x509 -noout -pubkey -in %[1]s; openssl pkey -pubout -in %[2]s", shellWord(cfg.TLS.CertificateFile), shellWord(cfg.TLS.KeyFile)))))
	}
	leaf := pair.Leaf
	detail := fmt.Sprintf("%s, valid until %s", certificateNames(leaf), when(leaf.NotAfter))
	renew := finding.Run("renew it (certbot renew, or your authority's way); the relay reads the new file by itself", "openssl x509 -noout -enddate -in "+shellWord(cfg.TLS.CertificateFile))
	switch left := leaf.NotAfter.Sub(now); {
	case left <= 0:
		return one(finding.Fail(name, detail+": expired", renew))
	case now.Before(leaf.NotBefore):
		return one(finding.Fail(name, detail+": valid only from "+when(leaf.NotBefore), finding.Run("is the clock right?", "timedatectl")))
	case left < expiresSoon:
		return one(finding.Warning(name, fmt.Sprintf("%s: %d days left", detail, int(left.Hours()/24)), renew))
	}
	if err := leaf.VerifyHostname(cfg.Hostname); err != nil {
		return one(finding.Warning(name, fmt.Sprintf("%s: does not name %s", detail, cfg.Hostname),
			finding.Run("a client that verifies (smtp_tls_security_level = secure) must call the relay by a name in it", "postconf relayhost smtp_tls_security_level")))
	}
	return one(finding.OK(name, detail))
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
func checkSecrets(cfg *config.Config) []finding.Finding {
	var found []finding.Finding
	if file := cfg.Access.UsersFile; file != "" {
		_, err := smtp.ReadUsers(file)
		found = append(found, fileFinding("users_file", file, err, "write name:bcrypt per line", "htpasswd -nB NAME >>"))
	}
	if file := cfg.Admin.TokensFile; file != "" {
		found = append(found, fileFinding("tokens_file", file, readTokens(file), "write one line a token", "relay token new admin NAME >>"))
	}
	if file := cfg.Cuenote.PasswordFile; file != "" {
		_, err := cfg.CuenotePassword()
		found = append(found, fileFinding("cuenote.password_file", file, err, "write the password alone into it, on one line", "install -m 0640 -g relay /dev/stdin "))
	}
	if file := cfg.State.SecretFile; file != "" {
		_, err := config.ReadSecret(file)
		found = append(found, fileFinding("state.secret_file", file, err, "write one secret into it, the same on every instance; a new one", "openssl rand -hex 32 >"))
	}
	if file := cfg.Log.KeyFile; file != "" {
		key, err := config.ReadSecret(file)
		if err == nil {
			_, err = mask.New(mask.Masked, []byte(key))
		}
		found = append(found, fileFinding("log.key_file", file, err, "write a secret of 16 bytes or more into it, on one line", "openssl rand -hex 32 >"))
	}
	if file := cfg.Cuenote.CAFile; file != "" {
		found = append(found, fileFinding("cuenote.ca_file", file, readAuthorities(file), "write the authorities' certificates as PEM", "openssl storeutl -noout -text -certs "))
	}
	return found
}

// fileFinding also warns of a secret that everybody on the machine can read.
func fileFinding(name, file string, err error, fix, command string) finding.Finding {
	if errors.Is(err, fs.ErrPermission) {
		return finding.Fail(name, err.Error(), finding.Run("run relay check as the relay's user, or let it read the file", "chgrp relay "+shellWord(file)))
	}
	if err != nil {
		return finding.Fail(name, err.Error(), finding.Run(fix, command+shellWord(file)))
	}
	info, err := os.Stat(file)
	if err == nil && info.Mode().Perm()&0o004 != 0 && name != "cuenote.ca_file" {
		return finding.Warning(name, file+" can be read by everybody on this machine", finding.Run("", "chmod o-rwx "+shellWord(file)))
	}
	return finding.OK(name, file)
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
func checkState(file string) []finding.Finding {
	const name = "state.file"
	if file == "" {
		return one(finding.Warning(name, "none: a restart begins with split.ses_percent, and forgets the history",
			finding.Run("write state.file: /var/lib/relay/split.json", "install -d -m 0750 -o relay -g relay /var/lib/relay")))
	}
	fix := finding.Run("run relay check as the relay's user, and make the directory its own", "install -d -m 0750 -o relay -g relay "+shellWord(filepath.Dir(file)))
	probe, err := os.CreateTemp(filepath.Dir(file), ".relay-check-*")
	if err != nil {
		return one(finding.Fail(name, err.Error(), fix))
	}
	if err := errors.Join(probe.Close(), os.Remove(probe.Name())); err != nil {
		return one(finding.Fail(name, err.Error(), fix))
	}
	if _, err := os.Stat(file + ".lock"); err != nil {
		if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
			return one(finding.OK(name, file+" will be made at the first change"))
		}
	}
	return one(openState(file))
}

// openState reads the state as the relay would.
func openState(file string) finding.Finding {
	const name = "state.file"
	lock, err := os.OpenFile(file+".lock", os.O_RDWR, 0)
	if err == nil {
		defer lock.Close()
		if syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil {
			return finding.OK(name, file+" is in use by a running relay")
		}
		if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_UN); err != nil {
			return finding.Fail(name, err.Error(), finding.Run("the file system must offer locks: put state.file on a disk of this machine", "findmnt -T "+shellWord(file)))
		}
	}
	unreadable := finding.Run("a state that cannot be read keeps the relay from starting; without it the relay begins with split.ses_percent, or with what Redis has",
		fmt.Sprintf("mv %[1]s %[1]s.bad", shellWord(file)))
	if errors.Is(err, fs.ErrPermission) {
		unreadable = finding.Run("run relay check as the relay's user, or make the files its own", "chown relay: "+shellWord(file)+"*")
	}
	store, err := split.OpenFile(file)
	if err != nil {
		return finding.Fail(name, strings.TrimPrefix(err.Error(), "state.file: "), unreadable)
	}
	defer store.Close()
	state, stored, err := store.Load(context.Background())
	switch {
	case err != nil:
		return finding.Fail(name, err.Error(), unreadable)
	case !stored:
		return finding.OK(name, file+" holds no split yet")
	}
	return finding.OK(name, fmt.Sprintf("%s: version %d, SES %s %%, by %s", file, state.Version, state.Applied(), state.ChangedBy))
}

// checkOpenFiles compares the connections with what the system lets a process
// open. Go raises the soft limit to the hard one by itself.
func checkOpenFiles(cfg *config.Config) []finding.Finding {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return nil
	}
	const own = 100 // listeners, log, API
	need := uint64(cfg.Limits.Connections + cfg.Cuenote.Connections + cfg.SES.MaxInFlight + own)
	if limit.Max >= need {
		return one(finding.OK("open files", fmt.Sprintf("%d needed at most, %d allowed", need, limit.Max)))
	}
	return one(finding.Warning("open files", fmt.Sprintf("%d needed at most, %d allowed here", need, limit.Max),
		finding.Run(fmt.Sprintf("LimitNOFILE=%d below [Service], or lower limits.connections", need), "systemctl edit relay")))
}
