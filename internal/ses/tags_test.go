package ses

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestMessageTags(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", maxTagText)
	cases := []struct {
		name         string
		step, client string
		want         string // name=value, joined by commas
		dropped      int
	}{
		{"nothing", "", "", "", 0},
		{"step only", "25", "", "relay-step=25", 0},
		{"step with a fraction", "12.5", "", "relay-step=12_5", 0},
		{"client's", "0", "a=b, c=d", "relay-step=0,a=b,c=d", 0},
		{"no blanks", "", "a=b,c=d", "a=b,c=d", 0},
		{"blanks everywhere", "", "\t a = b ,\t c\t=\td  ", "a=b,c=d", 0},
		{"empty items", "", ", a=b,, ,", "a=b", 3},
		{"no value", "", "a, b=, =c, d=e", "d=e", 3},
		{"value with an equals sign", "", "a=b=c", "", 1},
		{"blank inside", "", "a=b c, d e=f", "", 2},
		{"not ASCII", "", "名前=値, é=x, a=ü", "", 3},
		{"characters of the old documentation", "", "a=x@y.jp", "", 1},
		{"control characters", "", "a=b\r\nX: y, c=\x00", "", 2},
		{"the step is not the client's", "5", "relay-step=100, RELAY-STEP=100, Relay-Step=1", "relay-step=5", 3},
		{"the step is not the client's even when there is none", "", "relay-step=100", "", 1},
		{"SES's own", "", "ses:source-ip=1, ses:configuration-set=x, SES:from-domain=y", "", 3},
		{"twice", "", "a=1, a=2, A=3", "a=1,A=3", 1},
		{"as long as may be", "", long + "=" + long, long + "=" + long, 0},
		{"too long", "", "x" + long + "=a, a=x" + long, "", 2},
		{"step too long", "x" + long, "", "relay-step=" + long, 0},
	}
	for _, k := range cases {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			tags, dropped := messageTags(k.step, k.client)
			if got := joinTags(tags); got != k.want || dropped != k.dropped {
				t.Errorf("got %q, %d dropped; want %q, %d", got, dropped, k.want, k.dropped)
			}
		})
	}
}

func TestMessageTagsCount(t *testing.T) {
	t.Parallel()
	var client []string
	for i := range 60 {
		client = append(client, fmt.Sprintf("n%d=v", i))
	}
	tags, dropped := messageTags("10", strings.Join(client, ","))
	if len(tags) != maxTags || dropped != 60-maxTags+1 || tags[0] != (tag{StepTag, "10"}) {
		t.Errorf("%d tags, %d dropped, first %v", len(tags), dropped, tags[0])
	}
}

func joinTags(tags []tag) string {
	var s []string
	for _, t := range tags {
		s = append(s, t.name+"="+t.value)
	}
	return strings.Join(s, ",")
}

// FuzzMessageTags: whatever a client writes, SES takes what comes out, and the
// step is the relay's.
func FuzzMessageTags(f *testing.F) {
	f.Add("10", "a=b, c=d")
	f.Add("", "relay-step=1, ses:x=y, =,,=")
	f.Add("12.5", strings.Repeat("a=b,", 100))
	f.Add("名", "名=値\x00=\xff")
	f.Fuzz(func(t *testing.T, step, client string) {
		tags, dropped := messageTags(step, client)
		if len(tags) > maxTags || dropped < 0 || dropped > strings.Count(client, ",")+1 {
			t.Fatalf("%d tags, %d dropped", len(tags), dropped)
		}
		for i, x := range tags {
			if !isTagText(x.name) || !isTagText(x.value) {
				t.Fatalf("tag %q=%q", x.name, x.value)
			}
			if strings.EqualFold(x.name, StepTag) != (i == 0 && step != "") {
				t.Fatalf("tag %d is %q, step %q", i, x.name, step)
			}
			if slices.ContainsFunc(tags[:i], func(y tag) bool { return y.name == x.name }) {
				t.Fatalf("tag %q twice", x.name)
			}
		}
	})
}
