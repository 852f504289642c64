package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sesrelay/internal/simulator"
)

// motoS3 is moto's S3, an implementation that is not ours.
type motoS3 struct{ url string }

func startS3(t *testing.T) *motoS3 {
	t.Helper()
	program, err := exec.LookPath("moto_server")
	if err != nil {
		t.Skip("moto_server is missing: sh scripts/need.sh test")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	host, port, _ := net.SplitHostPort(l.Addr().String())
	l.Close()
	cmd := exec.Command(program, "-H", host, "-p", port)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	s := &motoS3{"http://" + net.JoinHostPort(host, port)}
	for end := time.Now().Add(30 * time.Second); ; {
		if code, _ := s.do("PUT", "/import-bucket"); code == http.StatusOK {
			return s
		}
		if time.Now().After(end) {
			t.Fatal("moto_server does not answer")
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// do makes an unsigned request; 0 without an answer.
func (s *motoS3) do(method, path string) (int, string) {
	req, err := http.NewRequest(method, s.url+path, nil)
	if err != nil {
		return 0, err.Error()
	}
	req.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261123/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, ""
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(res.Body)
	return res.StatusCode, string(body)
}

// open is how the simulated SES reads a part, as the real one does.
func (s *motoS3) open(url string) (io.ReadCloser, error) {
	code, body := s.do("GET", "/"+strings.TrimPrefix(url, "s3://"))
	if code != http.StatusOK {
		return nil, fmt.Errorf("HTTP %d", code)
	}
	return io.NopCloser(strings.NewReader(body)), nil
}

// suppressing is an SES, and the configuration that points at it. Not parallel:
// the credentials stand in the environment.
func suppressing(t *testing.T, cfg simulator.SESConfig) (*simulator.SES, string) {
	t.Helper()
	for key, value := range map[string]string{"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_EC2_METADATA_DISABLED": "true"} {
		t.Setenv(key, value)
	}
	ses, err := simulator.NewSES(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(ses.Close)
	return ses, writeConfig(t, "hostname: relay-1.goo.ne.jp\nses: {endpoint: \""+ses.URL()+"\"}\n")
}

func bouncedFile(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "bounced.csv")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// The whole way: a CSV with a byte order mark, S3 of moto, the API of SES.
func TestSuppressionImport(t *testing.T) {
	s := startS3(t)
	t.Setenv("AWS_ENDPOINT_URL_S3", s.url)
	ses, config := suppressing(t, simulator.SESConfig{NoCallLimit: true, ReadObject: s.open})
	file := bouncedFile(t, "\xef\xbb\xbfメールアドレス,日時\r\ntaro@goo.ne.jp,2026-11-01\r\nhanako@GOO.ne.jp,2026-11-02\r\ntaro@goo.ne.jp,2026-11-03\r\na..b.@docomo.ne.jp,2026-11-04\r\n")
	args := []string{"suppression", "import", file, "--rate", "100", "--config", config, "--bucket", "import-bucket", "--max-refused", "30"}

	code, out, errOut := run(t, nil, append(args, "--dry-run")...)
	if code != exitDone || !strings.Contains(out, "2 addresses, 1 given twice, 1 lines refused") || !strings.Contains(out, "line 5: no Dot-string") || !strings.Contains(out, "Nothing was sent") || ses.ImportJobs() != 0 {
		t.Fatalf("dry run: exit %d\n%s%s", code, out, errOut)
	}
	code, out, errOut = run(t, nil, append(args, "--json")...)
	var report suppressionReport
	if err := json.Unmarshal([]byte(out), &report); code != exitDone || err != nil || report.Imported != 2 || len(report.Parts) != 1 || report.Parts[0].Processed != 2 {
		t.Fatalf("exit %d, %v\n%s%s", code, err, out, errOut)
	}
	if got := ses.Suppressed(); len(got) != 2 || got["taro@goo.ne.jp"] != "BOUNCE" || got["hanako@goo.ne.jp"] != "BOUNCE" {
		t.Errorf("the suppression list is %v", got)
	}
	if _, listing := s.do("GET", "/import-bucket?list-type=2"); strings.Contains(listing, "<Key>") || !strings.Contains(listing, "ListBucketResult") {
		t.Errorf("left in the bucket: %s", listing)
	}
	state, err := os.ReadFile(file + ".import")
	if all := out + errOut + string(state); err != nil || strings.Contains(all, "taro") || strings.Contains(all, "hanako") || strings.Contains(errOut, "#") {
		t.Errorf("an address, or a bar without a terminal: %s (%v)", all, err)
	}
	if code, out, _ = run(t, nil, args...); code != exitDone || ses.ImportJobs() != 1 || !strings.Contains(out, "done: 2 addresses") {
		t.Errorf("again: exit %d, %d jobs\n%s", code, ses.ImportJobs(), out)
	}
}

// A job of SES that may not read the object; then it may, and the same command ends well.
func TestSuppressionImportAfterAFailure(t *testing.T) {
	s := startS3(t)
	t.Setenv("AWS_ENDPOINT_URL_S3", s.url)
	denied := true
	ses, config := suppressing(t, simulator.SESConfig{NoCallLimit: true, ReadObject: func(url string) (io.ReadCloser, error) {
		if denied {
			return nil, os.ErrPermission
		}
		return s.open(url)
	}})
	args := []string{"suppression", "import", bouncedFile(t, "taro@goo.ne.jp\n"), "--rate", "100", "--config", config, "--bucket", "import-bucket"}
	code, _, errOut := run(t, nil, args...)
	if code != exitFailed || !strings.Contains(errOut, "Unable to access the S3 object") || !strings.Contains(errOut, "0 of 1 addresses") || !strings.Contains(errOut, "same command again") {
		t.Fatalf("exit %d: %s", code, errOut)
	}
	denied = false
	if code, out, errOut := run(t, nil, args...); code != exitDone || len(ses.Suppressed()) != 1 {
		t.Errorf("exit %d: %s%s", code, out, errOut)
	}
}

// A few addresses need no bucket; SES says "too fast" and is asked again.
func TestSuppressionImportOneByOne(t *testing.T) {
	ses, config := suppressing(t, simulator.SESConfig{NoCallLimit: true})
	ses.Faults().Set(simulator.Fault{Name: simulator.FaultThrottled, At: simulator.AtSuppression, Times: 1})
	file := bouncedFile(t, "taro@goo.ne.jp\nhanako@goo.ne.jp\n")
	code, out, errOut := run(t, nil, "suppression", "import", file, "--rate", "100", "--config", config, "--reason", "complaint")
	if got := ses.Suppressed(); code != exitDone || len(got) != 2 || got["taro@goo.ne.jp"] != "COMPLAINT" {
		t.Errorf("exit %d, %v: %s%s", code, got, out, errOut)
	}
}

// What would be in vain, or was probably not meant, is refused before anything is sent.
func TestSuppressionImportRefuses(t *testing.T) {
	many := strings.Repeat("x", 10)
	var thousand strings.Builder
	for i := range maxSinglePuts + 1 {
		fmt.Fprintf(&thousand, "%s%d@goo.ne.jp\n", many, i)
	}
	for want, row := range map[string]struct {
		account simulator.Account
		text    string
		args    []string
	}{
		"does not suppress for the reason BOUNCE": {simulator.Account{SuppressNothing: true}, "taro@goo.ne.jp\n", nil},
		"sandbox":                   {simulator.Account{Sandbox: true}, "taro@goo.ne.jp\n", []string{"--bucket", "b"}},
		"need --bucket":             {simulator.Account{}, thousand.String(), nil},
		"is it the right column?":   {simulator.Account{}, "taro\nhanako@goo.ne.jp\n", nil},
		"--reason is bounce or":     {simulator.Account{}, "taro@goo.ne.jp\n", []string{"--reason", "typo"}},
		"the configuration set ses": {simulator.Account{SetSuppressesNothing: true}, "taro@goo.ne.jp\n", nil},
	} {
		ses, config := suppressing(t, simulator.SESConfig{Account: row.account, NoCallLimit: true})
		file := bouncedFile(t, row.text)
		code, _, errOut := run(t, nil, append([]string{"suppression", "import", file, "--rate", "100", "--config", config}, row.args...)...)
		if code == exitDone || !strings.Contains(errOut, want) || len(ses.Suppressed()) != 0 || ses.ImportJobs() != 0 {
			t.Errorf("%s: exit %d: %s", want, code, errOut)
		}
	}
}
