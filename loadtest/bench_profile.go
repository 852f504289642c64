package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
)

// startProfiles takes profiles of the relays while they are measured, when
// asked for. The function that it returns waits for them and saves them.
func (b *bench) startProfiles(ctx context.Context) func() error {
	if b.Profile == "" {
		return func() error { return nil }
	}
	var waits []func() error
	for _, s := range b.systems {
		if s.api == "" {
			continue
		}
		ctx, cancel := context.WithCancel(ctx)
		done := make(chan error, 1)
		go func() { done <- saveProfile(ctx, s.api+"/debug/pprof/profile?seconds=120", b.profileFile(s, "cpu")) }()
		waits = append(waits, func() error {
			defer cancel()
			return errors.Join(<-done, saveProfile(ctx, s.api+"/debug/pprof/allocs", b.profileFile(s, "allocs")))
		})
	}
	return func() (err error) {
		for _, wait := range waits {
			err = errors.Join(err, wait())
		}
		return err
	}
}

func (b *bench) profileFile(s *system, kind string) string {
	return fmt.Sprintf("%s-%s-%s.%s", b.Profile, s.Name, s.Route, kind)
}

// saveProfile reads a profile from a relay's admin address.
func saveProfile(ctx context.Context, url, path string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, res.Status)
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, res.Body)
	return errors.Join(err, f.Close())
}
