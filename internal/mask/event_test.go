package mask

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write testdata/masked anew; read the difference before you commit it")

// Every type of event, masked, is compared with a file that was read by eye.
func TestEvent(t *testing.T) {
	t.Parallel()
	m := newTest(t, Masked)
	files, err := filepath.Glob("testdata/events/*.json")
	if err != nil || len(files) < 12 {
		t.Fatalf("%d events, %v", len(files), err)
	}
	for _, file := range files {
		in, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		masked, err := m.Event(in)
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		var got bytes.Buffer
		if err := json.Indent(&got, masked, "", " "); err != nil {
			t.Fatal(err)
		}
		got.WriteByte('\n')
		golden := strings.Replace(file, "events", "masked", 1)
		if *update {
			if err := os.WriteFile(golden, got.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got.Bytes(), want) {
			t.Errorf("%s: got\n%s\nwant\n%s", file, got.Bytes(), want)
		}
		for _, personal := range []string{"hanako", "suzuki", "yamada", "山田", "鈴木", "花子", "再発行", "44OR", "202.217.75.98", "192.0.2.61",
			"iPhone", "Windows", "reset", "4711", "a b", ".foo", "192.168.1.100", "user@", "9012345678"} {
			if bytes.Contains(bytes.ToLower(got.Bytes()), bytes.ToLower([]byte(personal))) {
				t.Errorf("%s: %q is still there", file, personal)
			}
		}
	}
}

func TestEventKeeps(t *testing.T) {
	t.Parallel()
	m := newTest(t, Masked)
	in, err := os.ReadFile("testdata/events/bounce.json")
	if err != nil {
		t.Fatal(err)
	}
	out, err := m.Event(in)
	if err != nil {
		t.Fatal(err)
	}
	for _, kept := range []string{`"eventType":"Bounce"`, `"bounceType":"Permanent"`, `"bounceSubType":"General"`, `"status":"5.1.1"`,
		`"sendingAccountId":"123456789012"`, `"relay-step":["10"]`, `"ses:configuration-set":["ses-migration-production-config-set"]`,
		`"messageId":"0106019abc3de4f5-7c191be4-e9ae-4a12-a87d-dd0099a07f8a-000000"`, `"timestamp":"2026-11-23T01:05:14.000Z"`,
		`dns; e234-3.smtp-out.ap-northeast-1.amazonses.com`, `smtp; 550 5.1.1 Unknown user *** <h***#`, `@docomo.ne.jp>: Recipient address rejected [54.240.11.0/24]`,
		`"emailAddress":"` + m.Address("hanako.suzuki@docomo.ne.jp") + `"`} {
		if !bytes.Contains(out, []byte(kept)) {
			t.Errorf("%s is gone from %s", kept, out)
		}
	}
	// members keep their order, numbers their digits
	out, err = m.Event([]byte(`{"delivery":{"processingTimeMillis":1.50e3},"eventType":"Delivery"}`))
	if err != nil || string(out) != `{"delivery":{"processingTimeMillis":1.50e3},"eventType":"Delivery"}` {
		t.Errorf("%s, %v", out, err)
	}
}

func TestEventFailsClosed(t *testing.T) {
	t.Parallel()
	m := newTest(t, Masked)
	secret := "taro.yamada@docomo.ne.jp"
	for _, in := range []string{
		"", "null", "[]", `"` + secret + `"`, "{", `{"mail":{"source":"` + secret + `"}`, `{"a":1}{"b":"` + secret + `"}`, secret,
		`{"a":` + strings.Repeat("[", 40) + `"` + secret + `"` + strings.Repeat("]", 40) + "}",
		"{\"a\":\"" + secret + "\x00\"}", `{'mail':'` + secret + `'}`, `{"mail":"` + secret + `",}`,
	} {
		out, err := m.Event([]byte(in))
		if err == nil || out != nil {
			t.Errorf("%q: %q, %v: want an error and nothing else", in, out, err)
		} else if strings.Contains(err.Error(), "taro") {
			t.Errorf("%q: the error quotes the input: %v", in, err)
		}
	}
	if out, err := newTest(t, Full).Event([]byte(`{"eventType":"Send"}`)); err == nil || out != nil {
		t.Errorf("full: %q, %v", out, err)
	}
}

// A value that is not what its field promises does not pass.
func TestEventShapes(t *testing.T) {
	t.Parallel()
	m := newTest(t, Masked)
	for _, in := range []string{
		`{"eventType":"taro.yamada"}`, `{"bounce":{"status":"taro.yamada"}}`, `{"mail":{"timestamp":"taro.yamada"}}`,
		`{"mail":{"messageId":"taro.yamada"}}`, `{"mail":{"sourceArn":"arn:aws:ses:taro.yamada:1:identity/x.jp"}}`,
		`{"mail":{"sourceArn":"arn:aws:ses:ap-northeast-1:123456789012:identity/taro.yamada@goo.ne.jp"}}`,
		`{"mail":{"sendingAccountId":"taro.yamada"}}`, `{"mail":{"destination":["taro.yamada"]}}`, `{"mail":{"destination":{"taro.yamada":1}}}`,
		`{"mail":{"headers":[{"name":"taro.yamada","value":"taro.yamada"}]}}`, `{"mail":{"headers":[{"value":"taro.yamada","name":"Subject"}]}}`,
		`{"mail":{"headers":[{"name":"taro.yamada","name":"Subject","value":"x"}]}}`, `{"mail":{"headers":[{"name":["taro.yamada"],"value":{"taro.yamada":"x"}}]}}`,
		`{"mail":{"headers":{"name":"From","value":"taro.yamada","taro.yamada":1}}}`, `{"mail":{"headers":["taro.yamada"]}}`,
		`{"mail":{"headers":[{"name":"Date","value":"Mon, 23 Nov 2026 10:05:12 +0900 (taro.yamada)"}]}}`,
		`{"mail":{"headers":[{"name":"Content-Type","value":"text/plain; name=taro.yamada"}]}}`,
		`{"mail":{"commonHeaders":{"date":"taro.yamada","subject":"taro.yamada","from":["taro.yamada <a@goo.ne.jp>"]}}}`,
		`{"click":{"link":"https://taro.yamada@goo.ne.jp/taro.yamada#taro.yamada","linkTags":{"taro.yamada":["taro.yamada"]}}}`,
		`{"click":{"link":"javascript:taro.yamada"}}`, `{"open":{"ipAddress":"taro.yamada","userAgent":"taro.yamada"}}`,
		`{"mail":{"tags":{"taro.yamada":["taro.yamada"],"ses:caller-identity":["taro.yamada"],"relay-step":["taro.yamada"]}}}`,
		`{"delivery":{"smtpResponse":"250 ok taro.yamada","recipients":["taro.yamada@goo.ne.jp"]}}`,
		`{"eventType":["taro.yamada",{"taro.yamada":"taro.yamada"}]}`, `{"taro.yamada":[[{"taro.yamada":["taro.yamada"]}]]}`,
	} {
		out, err := m.Event([]byte(in))
		if err != nil {
			t.Errorf("%s: %v", in, err)
		}
		if bytes.Contains(out, []byte("taro")) || bytes.Contains(out, []byte("yamada")) {
			t.Errorf("%s: %s", in, out)
		}
	}
}
