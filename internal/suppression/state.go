package suppression

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// stateFormat is the version of the state file.
const stateFormat = 1

// Steps of a part.
const (
	stepNew      = "new"
	stepUploaded = "uploaded" // the object is in S3
	stepStarted  = "started"  // SES has given a job
	stepDone     = "done"
)

// Part is a piece of the list: one object in S3 and one import job.
type Part struct {
	Key       string `json:"object"`
	Addresses int    `json:"addresses"`
	Step      string `json:"step"`
	Job       string `json:"job,omitempty"`
	Processed int    `json:"processed"`
	Failed    int    `json:"failed"`
}

// state is what an import has done, without an address in it.
type state struct {
	Format int    `json:"format"`
	List   string `json:"list"` // SHA-256 of the addresses
	Reason Reason `json:"reason"`
	Bucket string `json:"bucket"` // "" = one by one, without S3
	Region string `json:"region"`
	Parts  []Part `json:"parts,omitempty"`
	Put    int    `json:"put"` // addresses put one by one
}

// errOther says that a state file belongs to another import.
var errOther = errors.New("was written by another import (another list, bucket, region or reason): finish that one, or name another file with --state")

// load reads the state of an import that was interrupted, or begins one.
func load(path string, fresh state) (state, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return fresh, nil
	}
	if err != nil {
		return state{}, err
	}
	var s state
	if err := json.Unmarshal(data, &s); err != nil {
		return state{}, fmt.Errorf("%s is no state of an import: %w", path, err)
	}
	if s.Format != stateFormat || s.List != fresh.List || s.Bucket != fresh.Bucket || s.Region != fresh.Region ||
		s.Reason != fresh.Reason || len(s.Parts) != len(fresh.Parts) || s.Put < 0 {
		return state{}, fmt.Errorf("%s %w", path, errOther)
	}
	for i, p := range s.Parts {
		if p.Addresses != fresh.Parts[i].Addresses {
			return state{}, fmt.Errorf("%s %w", path, errOther)
		}
	}
	return s, nil
}

// save replaces the file as a whole: a crash leaves the old or the new one.
func (s *state) save(path string) error {
	data, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".import-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(append(data, '\n'))
	if err == nil {
		err = f.Sync()
	}
	if closing := f.Close(); err == nil {
		err = closing
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	return err
}
