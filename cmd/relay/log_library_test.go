package main

import (
	"bufio"
	"io"
	stdlog "log"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

// TestLibraryLog: what a server says unasked on an idle connection of net/http's
// is a line of our log, without its words.
func TestLibraryLog(t *testing.T) {
	var b lockedBuffer
	takeLibraryLog(newLogger(&b, "json", slog.LevelInfo))
	t.Cleanup(func() { stdlog.SetFlags(stdlog.LstdFlags); stdlog.SetOutput(os.Stderr) })
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	answered := make(chan struct{})
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		http.ReadRequest(bufio.NewReader(c))                                //nolint:errcheck // shows in the client
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")   //nolint:errcheck // likewise
		<-answered                                                          // the connection is idle now
		io.WriteString(c, "taro@docomo.ne.jp \"is not allowed\"\r\n\r\n\n") //nolint:errcheck // likewise
	}()
	client := &http.Client{Transport: &http.Transport{}}
	resp, err := client.Get("http://" + l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	close(answered)
	for end := time.Now().Add(10 * time.Second); !strings.Contains(b.String(), "Unsolicited") && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	lines := validLog(t, b.String())
	if len(lines) != 1 || lines[0]["msg"] != "a library says" || strings.Contains(b.String(), "taro") {
		t.Errorf("the log is %s", b.String())
	}
}
