package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"sesrelay/internal/simulator"
)

// object is one request to moto's S3.
func (m *moto) object(method, path string) (int, io.ReadCloser, error) {
	req, err := http.NewRequest(method, m.url+path, nil)
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261123/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil, err
	}
	return resp.StatusCode, resp.Body, nil
}

const (
	importBucket = "ses-migration-prod-suppression"
	importPart   = 100_000 // the most that SES takes in one job
)

// importState is what these tests read of FILE.import.
type importState struct {
	Parts []struct{ Step, Job string }
}

// importStage is an SES whose import jobs read a bucket that is not ours.
type importStage struct {
	ses          *simulator.SES
	file, config string
	env          []string
}

func newImportStage(t *testing.T, addresses int) *importStage {
	t.Helper()
	m := startMoto(t)
	if code, body, err := m.object("PUT", "/"+importBucket); err != nil || code != http.StatusOK {
		t.Fatalf("the bucket: %d, %v", code, err)
	} else {
		body.Close()
	}
	ses, err := simulator.NewSES(simulator.SESConfig{NoCallLimit: true, Credentials: map[string]string{"AKIDEXAMPLE": "secret"},
		ReadObject: func(url string) (io.ReadCloser, error) {
			code, body, err := m.object("GET", "/"+strings.TrimPrefix(url, "s3://"))
			if err == nil && code != http.StatusOK {
				body.Close()
				err = fmt.Errorf("HTTP %d", code)
			}
			return body, err
		}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(ses.Close)
	s := &importStage{ses: ses, file: filepath.Join(t.TempDir(), "bounced.csv"), config: filepath.Join(t.TempDir(), "relay.yaml")}
	write(t, s.config, fmt.Sprintf("hostname: relay-1.goo.ne.jp\nses: {endpoint: %q}\n", ses.URL()))
	s.env = append(os.Environ(), "AWS_ACCESS_KEY_ID=AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY=secret", "AWS_EC2_METADATA_DISABLED=true", "AWS_ENDPOINT_URL_S3="+m.url)
	var b strings.Builder
	b.WriteString("メールアドレス,日時\r\n")
	for i := range addresses {
		fmt.Fprintf(&b, "bounced-customer-%07d@example-%d.ne.jp,2026-11-01 10:00:00\r\n", i, i%977)
	}
	write(t, s.file, b.String())
	return s
}

// command is relay suppression import of the stage's file.
func (s *importStage) command(t *testing.T, more ...string) *exec.Cmd {
	t.Helper()
	args := append([]string{"suppression", "import", s.file, "--config", s.config, "--bucket", importBucket, "--rate", "5"}, more...)
	cmd := exec.Command(binary(t, true), args...)
	cmd.Env = s.env
	return cmd
}

// killWhen runs the import until the state file, or SES, is as wanted, and kills it then.
func (s *importStage) killWhen(t *testing.T, what string, now func(importState) bool) {
	t.Helper()
	p := &process{cmd: s.command(t), out: &output{}, done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.out
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { p.err = p.cmd.Wait(); close(p.done) }()
	t.Cleanup(func() { p.signal(syscall.SIGKILL); <-p.done })
	eventually(t, 3*time.Minute, what, func() error {
		select {
		case <-p.done:
			return fatal{errors.New("the import has ended: " + p.out.String())}
		default:
		}
		if !now(s.state(t)) {
			return errors.New("not yet")
		}
		return nil
	})
	p.signal(syscall.SIGKILL)
	<-p.done
}

func (s *importStage) state(t *testing.T) (st importState) {
	t.Helper()
	data, err := os.ReadFile(s.file + ".import")
	if errors.Is(err, os.ErrNotExist) {
		return st
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &st); err != nil {
		t.Fatalf("the state file is half written: %v", err)
	}
	return st
}

// highWater watches the memory of a process and returns what tells the most in
// MiB. The usage that the system reports of a child begins with its parent's.
func highWater(pid int) func() int {
	most, stop, done := 0, make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid)) //nolint:errcheck // it has ended
			if _, after, ok := strings.Cut(string(b), "VmHWM:"); ok {
				kb, _ := strconv.Atoi(strings.Fields(after)[0]) //nolint:errcheck // the kernel writes a number
				most = max(most, kb/1024)
			}
			select {
			case <-stop:
				return
			case <-time.After(50 * time.Millisecond):
			}
		}
	}()
	return func() int {
		close(stop)
		<-done
		return most
	}
}

// TestSuppressionImportIsKilled imports a large list through S3 and import
// jobs, and kills the command twice on the way: the same command ends it, no
// part is a job twice, no address is missing, and the memory is bounded.
// E2E_LONG=1 imports a million addresses.
func TestSuppressionImportIsKilled(t *testing.T) {
	t.Parallel()
	addresses := 250_000
	if os.Getenv("E2E_LONG") != "" {
		addresses = 1_000_000
	}
	s := newImportStage(t, addresses)
	parts := (addresses + importPart - 1) / importPart

	began := time.Now()
	out, err := s.command(t, "--dry-run").CombinedOutput()
	if err != nil || !strings.Contains(string(out), fmt.Sprintf("in %d import job(s). Nothing was sent.", parts)) || s.ses.ImportJobs() != 0 {
		t.Fatalf("dry run: %v\n%s", err, out)
	}
	t.Logf("dry run in %v:\n%s", time.Since(began).Round(10*time.Millisecond), out)

	s.killWhen(t, "a job that runs", func(st importState) bool {
		return len(st.Parts) == parts && st.Parts[0].Step == "done" && st.Parts[1].Step == "started"
	})
	jobs := s.ses.ImportJobs()
	s.killWhen(t, "a part that is uploaded, or just started", func(st importState) bool {
		return len(st.Parts) == parts && st.Parts[1].Step == "done" && st.Parts[2].Step != "new"
	})
	for i, p := range s.state(t).Parts {
		t.Logf("killed twice: part %d is %s", i+1, p.Step)
	}

	began = time.Now()
	cmd := s.command(t)
	var said output
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	highest := highWater(cmd.Process.Pid)
	err = cmd.Wait()
	if out = []byte(said.String()); err != nil {
		t.Fatalf("the same command again: %v\n%s", err, out)
	}
	peak := highest()
	t.Logf("the rest in %v, at most %d MiB:\n%s", time.Since(began).Round(10*time.Millisecond), peak, out)
	if strings.Contains(string(out), "[#") || strings.Contains(string(out), "bounced-customer") {
		t.Errorf("a bar without a terminal, or an address:\n%s", out)
	}
	got := s.ses.Suppressed()
	missing := 0
	for i := range addresses {
		if got[fmt.Sprintf("bounced-customer-%07d@example-%d.ne.jp", i, i%977)] != "BOUNCE" {
			missing++
		}
	}
	if missing > 0 || len(got) != addresses {
		t.Errorf("%d addresses are missing, %d are in the list", missing, len(got))
	}
	// A kill between SES's answer and the state file may start one job a second time, with the same addresses.
	if n := s.ses.ImportJobs(); jobs != 2 || n < parts || n > parts+1 {
		t.Errorf("%d jobs after the first kill and %d at the end, for %d parts", jobs, n, parts)
	}
	if perMillion := float64(peak) * 1e6 / float64(addresses); peak == 0 || peak > 200 && perMillion > 500 {
		t.Errorf("%d MiB for %d addresses", peak, addresses)
	}
	if out, err = s.command(t).CombinedOutput(); err != nil || s.ses.ImportJobs() > parts+1 {
		t.Errorf("once more: %v, %d jobs\n%s", err, s.ses.ImportJobs(), out)
	}
}

// TestSuppressionProgressBar looks at the bar in a real terminal of 80 columns:
// one line that grows, and nothing that the terminal would break or scroll.
func TestSuppressionProgressBar(t *testing.T) {
	t.Parallel()
	s := newImportStage(t, 40)
	relay := fmt.Sprintf("%s suppression import %s --config %s --rate 40", binary(t, true), s.file, s.config)
	cmd := exec.Command(program(t, "script"), "-qec", "stty cols 80 rows 24 && "+relay, filepath.Join(t.TempDir(), "typescript"))
	cmd.Env = append(s.env, "TERM=xterm")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var frames []string
	for line := range strings.Lines(string(out)) {
		for _, piece := range strings.Split(strings.TrimRight(line, "\r\n"), "\r") {
			if strings.HasPrefix(piece, "[") {
				frames = append(frames, piece)
			}
		}
	}
	if len(frames) < 20 {
		t.Fatalf("%d frames:\n%q", len(frames), out)
	}
	t.Logf("%d frames, from %q to %q", len(frames), frames[0], frames[len(frames)-1])
	for i, f := range frames {
		if len(f) > 79 || i > 0 && (len(f) < len(frames[i-1]) || strings.Count(f, "#") < strings.Count(frames[i-1], "#")) {
			t.Errorf("frame %d: %q", i, f)
		}
	}
	if last := frames[len(frames)-1]; !strings.HasSuffix(last, "100 %  40 of 40") || strings.Contains(last, "-") {
		t.Errorf("the last frame: %q", last)
	}
	if n := strings.Count(string(out), "\n"); n > 4 { // the file, its counts, the bar, the end
		t.Errorf("%d lines:\n%s", n, out)
	}
}
