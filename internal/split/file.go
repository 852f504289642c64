package split

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// fileFormat is the version of the file's layout.
const fileFormat = 1

// stateFile is the layout of state.file. The sum is over the bytes of Record:
// a file that was cut or edited must not become another percentage.
type stateFile struct {
	Format int             `json:"format"`
	SHA256 string          `json:"sha256"`
	Record json.RawMessage `json:"record"`
}

// FileStore is a MemoryStore that outlives the process. The file always holds
// one whole state: the old or the new one, whenever the process dies.
type FileStore struct {
	MemoryStore
	path string
	lock *os.File
}

// OpenFile reads state.file, or starts an empty store when there is none. A
// file that is damaged, or from a newer relay, is an error that says what to
// do. The file "<path>.lock" keeps a second relay away from it.
func OpenFile(path string) (*FileStore, error) {
	lock, err := lockFile(path + ".lock")
	if err != nil {
		return nil, err
	}
	s := &FileStore{path: path, lock: lock}
	s.persist = func(r record) error { return writeState(path, r) }
	if err := s.read(); err != nil {
		lock.Close()
		return nil, err
	}
	return s, nil
}

// Close releases the file. Nothing may be changed afterwards.
func (s *FileStore) Close() error { return s.lock.Close() }

func lockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("state.file: %w: its directory must exist and be writable for the relay", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("state.file: %s is held by another relay: stop it, or give each its own state.file", path)
		}
		return nil, fmt.Errorf("state.file: lock %s: %w", path, err)
	}
	return f, nil
}

func (s *FileStore) read() error {
	b, err := os.ReadFile(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("state.file: %w", err)
	}
	r, err := decodeState(b)
	if err != nil {
		return fmt.Errorf("state.file: %s: %w", s.path, err)
	}
	s.state, s.history, s.stored = r.State, r.History, true
	return nil
}

// decodeState reads the file's bytes and checks everything in them.
func decodeState(b []byte) (record, error) {
	const remedy = "restore it from a backup, or move it away to start with split.ses_percent"
	var f stateFile
	if err := json.Unmarshal(b, &f); err != nil {
		return record{}, fmt.Errorf("is damaged (%w): %s", err, remedy)
	}
	if f.Format > fileFormat {
		return record{}, fmt.Errorf("has format %d and this relay knows %d: start the newer relay again, or move the file away to start with split.ses_percent", f.Format, fileFormat)
	}
	if f.Format < 1 || sum(f.Record) != f.SHA256 {
		return record{}, fmt.Errorf("is damaged (its sum does not match): %s", remedy)
	}
	var r record
	dec := json.NewDecoder(bytes.NewReader(f.Record))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&r); err != nil {
		return record{}, fmt.Errorf("is damaged (%w): %s", err, remedy)
	}
	r.State.nameBrake()
	if err := r.State.check(); err != nil {
		return record{}, fmt.Errorf("is damaged (%w): %s", err, remedy)
	}
	r.State.brakes(&r.State, &r.State) // in order, without doubles
	return r, nil
}

func encodeState(r record) ([]byte, error) {
	raw, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	return json.Marshal(stateFile{Format: fileFormat, SHA256: sum(raw), Record: raw})
}

func sum(b []byte) string {
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:])
}

func writeState(path string, r record) error {
	b, err := encodeState(r)
	if err != nil {
		return err
	}
	return replaceFile(path, b)
}

// replaceFile writes a file so that a reader, and a restart after a crash at
// any point, finds the old content or the new one: a second file in the same
// directory, its bytes on disk, renamed over the first, the directory on disk.
func replaceFile(path string, b []byte) error {
	tmp := path + ".tmp" // one name, so that a crash leaves one file behind at most
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		os.Remove(tmp)
		return err
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
