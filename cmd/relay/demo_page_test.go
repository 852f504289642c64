package main

import (
	"bytes"
	"strings"
	"testing"

	"sesrelay/internal/simulator"
)

// What a mail brings is text on the page, and nothing else.
func TestDemoPage(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	mail := simulator.Summary{Upstream: "ses", From: "a@goo.ne.jp", To: []string{"b@docomo.ne.jp", "<i>@x.jp"}, Subject: `<script>alert("x")</script>`, Size: 12}
	if err := writeDemoPage(&b, []simulator.Summary{mail}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"1 newest mails", `<td class="ses">ses<td>a@goo.ne.jp<td>b@docomo.ne.jp, &lt;i&gt;@x.jp<td>&lt;script&gt;alert(&#34;x&#34;)&lt;/script&gt;<td class="n">12`} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %s in\n%s", want, &b)
		}
	}
	b.Reset()
	if err := writeDemoPage(&b, nil); err != nil || !strings.Contains(b.String(), "Nothing yet.") {
		t.Errorf("%v\n%s", err, &b)
	}
}
