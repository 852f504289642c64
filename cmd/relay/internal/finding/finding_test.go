package finding

import (
	"encoding/json"
	"strings"
	"testing"
)

// What is not ok has what puts it right, whoever forgets to say so.
func TestRemedies(t *testing.T) {
	t.Parallel()
	for _, build := range []func(string, string, Remedy) Finding{Warning, Fail, Skipped} {
		for _, r := range []Remedy{{}, Run("words", ""), Run("", "ls -l file"), Page("look", "https://console.aws.amazon.com/ses/home")} {
			f := build("name", "detail", r)
			if f.Command() == "" || !strings.HasSuffix(f.Fix(), f.Command()) {
				t.Errorf("%+v: %q", r, f.Fix())
			}
			text, err := json.Marshal(f)
			if err != nil || !strings.Contains(string(text), `"command":"`+f.Command()+`"`) || !strings.Contains(string(text), `"level":"`+string(f.Level())+`"`) {
				t.Errorf("%s, %v", text, err)
			}
		}
	}
	if text, err := json.Marshal(OK("name", "detail")); err != nil || string(text) != `{"level":"ok","name":"name","detail":"detail"}` {
		t.Errorf("%s, %v", text, err)
	}
}
