package e2e

import (
	"bytes"
	"encoding/json"
	"net"
	"net/http"
	"testing"
)

// moto is moto_server: an SES that is not ours.
type moto struct{ url string }

// startMoto runs moto_server and verifies the identity that the tests send from.
func startMoto(t *testing.T) *moto {
	t.Helper()
	addr := freePort(t)
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	p := start(t, program(t, "moto_server"), "-H", host, "-p", port)
	listening(t, addr, p)
	m := &moto{url: "http://" + addr}
	for path, body := range map[string]string{
		"/v2/email/identities":         `{"EmailIdentity":"goo.ne.jp"}`,
		"/v2/email/configuration-sets": `{"ConfigurationSetName":"ses-migration-production-config-set"}`,
	} {
		req, _ := http.NewRequest("POST", m.url+path, bytes.NewReader([]byte(body)))
		req.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261123/ap-northeast-1/ses/aws4_request, SignedHeaders=host, Signature=0")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Fatalf("moto: POST %s: %s", path, resp.Status)
		}
	}
	return m
}

// motoMail is one mail that moto accepted.
type motoMail struct {
	ID           string   `json:"id"`
	Source       string   `json:"source"`
	Destinations []string `json:"destinations"`
	Raw          string   `json:"raw_data"`
}

// mails returns what moto accepted, through its own inspection API.
func (m *moto) mails(t *testing.T) []motoMail {
	t.Helper()
	resp, err := http.Get(m.url + "/moto-api/data.json")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var data struct {
		SES struct {
			RawMessage []motoMail
		} `json:"ses"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&data); err != nil {
		t.Fatal(err)
	}
	return data.SES.RawMessage
}
