package ses

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/credentials"
)

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	good := testConfig("", SenderDirect)
	cases := map[string]struct {
		edit func(*Config)
		want []string
	}{
		"everything":     {func(c *Config) { *c = Config{} }, []string{"Region", "Credentials", "ConfigurationSet"}},
		"sender":         {func(c *Config) { c.Sender = "smtp" }, []string{`Sender is "smtp"`, `"direct"`, `"sdk"`}},
		"negative":       {func(c *Config) { c.MaxInFlight = -1 }, []string{"MaxInFlight"}},
		"set name":       {func(c *Config) { c.ConfigurationSet = "a\r\nX-SES-TENANT: b" }, []string{"ConfigurationSet is \"a\\r"}},
		"no URL":         {func(c *Config) { c.Endpoint = "email.example" }, []string{"Endpoint", "https://host"}},
		"broken URL":     {func(c *Config) { c.Endpoint = "http://[::1" }, []string{"Endpoint"}},
		"another scheme": {func(c *Config) { c.Endpoint = "ftp://x" }, []string{"Endpoint"}},
		"region":         {func(c *Config) { c.Region = "not a region" }, []string{"region"}},
	}
	for name, k := range cases {
		cfg := good
		k.edit(&cfg)
		_, err := New(cfg)
		if err == nil {
			t.Errorf("%s: no error", name)
			continue
		}
		for _, w := range k.want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%s: %q does not name %q", name, err, w)
			}
		}
	}
}

func TestEndpoint(t *testing.T) {
	t.Parallel()
	for _, k := range []struct{ region, endpoint, address, host, path string }{
		{"ap-northeast-1", "", "email.ap-northeast-1.amazonaws.com:443", "email.ap-northeast-1.amazonaws.com", "/v2/email/outbound-emails"},
		{"cn-north-1", "", "email.cn-north-1.amazonaws.com.cn:443", "email.cn-north-1.amazonaws.com.cn", "/v2/email/outbound-emails"},
		{"ap-northeast-1", "http://127.0.0.1:4000", "127.0.0.1:4000", "127.0.0.1:4000", "/v2/email/outbound-emails"},
		{"ap-northeast-1", "http://127.0.0.1:4000/", "127.0.0.1:4000", "127.0.0.1:4000", "/v2/email/outbound-emails"},
		{"ap-northeast-1", "http://127.0.0.1", "127.0.0.1:80", "127.0.0.1", "/v2/email/outbound-emails"},
		{"ap-northeast-1", "https://[::1]", "[::1]:443", "[::1]", "/v2/email/outbound-emails"},
		{"ap-northeast-1", "https://[::1]:8443", "[::1]:8443", "[::1]:8443", "/v2/email/outbound-emails"},
		{"ap-northeast-1", "https://host/base/", "host:443", "host", "/base/v2/email/outbound-emails"},
	} {
		c, err := New(Config{Region: k.region, Endpoint: k.endpoint, ConfigurationSet: "cs", Credentials: credentials.NewStaticCredentialsProvider("a", "b", "")})
		if err != nil {
			t.Fatal(err)
		}
		p := c.sender.(*direct).poster.(*pool)
		if want := "POST " + k.path + " HTTP/1.1\r\nHost: " + k.host + "\r\n"; p.address != k.address || !strings.HasPrefix(string(p.fields), want) {
			t.Errorf("%s %q: to %s %q, not to %s %q", k.region, k.endpoint, p.address, p.fields, k.address, want)
		}
	}
}
