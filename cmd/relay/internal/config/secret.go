package config

import (
	"errors"
	"fmt"
	"os"
	"strings"
)

// maxSecret bounds a secret file.
const maxSecret = 64 * kib

// ReadSecret returns the content of a *_file without the line end that editors
// add. The empty path is no secret. A file that is empty, or has a second line,
// is an error: it is not what was meant.
func ReadSecret(path string) (string, error) {
	if path == "" {
		return "", nil
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("secret: %w", err)
	}
	if len(data) > maxSecret {
		return "", fmt.Errorf("secret: %s is larger than %s: is it the right file?", path, formatSize(maxSecret))
	}
	s := strings.TrimSuffix(strings.TrimSuffix(string(data), "\n"), "\r")
	switch {
	case s == "":
		return "", fmt.Errorf("secret: %s is empty", path)
	case strings.ContainsAny(s, "\r\n\x00"):
		return "", errors.New("secret: " + path + " has more than one line: write the secret alone")
	}
	return s, nil
}

// CuenotePassword reads cuenote.password_file; "" when there is none.
func (c *Config) CuenotePassword() (string, error) {
	s, err := ReadSecret(c.Cuenote.PasswordFile)
	if err != nil {
		return "", fmt.Errorf("cuenote.password_file: %w", err)
	}
	return s, nil
}
