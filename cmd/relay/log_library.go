package main

import (
	stdlog "log"
	"log/slog"
	"strings"
)

// libraryLog takes what a library writes with package log: net/http does so
// when a server says something unasked on an idle connection, and quotes it.
// What is quoted came from the net and is left out.
type libraryLog struct{ log *slog.Logger }

func takeLibraryLog(log *slog.Logger) {
	stdlog.SetFlags(0)
	stdlog.SetOutput(libraryLog{log})
}

func (l libraryLog) Write(p []byte) (int, error) {
	text, _, _ := strings.Cut(string(p), `"`)
	l.log.Warn("a library says", "text", strings.TrimSpace(text))
	return len(p), nil
}
