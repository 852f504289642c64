package ses

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode"

	"sesrelay/internal/relay"
)

func ok(id string, fields ...string) string {
	body := `{"MessageId":"` + id + `"}`
	return "HTTP/1.1 200 OK\r\nX-Amzn-Requestid: rq-1\r\n" + strings.Join(fields, "") + fmt.Sprintf("Content-Length: %d\r\n\r\n", len(body)) + body
}

func zipped(s string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	w.Write([]byte(s)) //nolint:errcheck // to memory
	w.Close()          //nolint:errcheck // likewise
	return fmt.Sprintf("Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s", b.Len(), b.String())
}

// oddAnswers are answers that SES should never give, each to a request that was
// read to its end. The next mail has the answer "next".
var oddAnswers = []struct {
	name, answer string
	outcome      relay.Outcome
	id           string
	connections  int32 // of SenderDirect, for two mails
}{
	{"204", "HTTP/1.1 204 No Content\r\n\r\n", unknown, "", 1},
	{"204 with a body", "HTTP/1.1 204 No Content\r\nContent-Length: 19\r\n\r\n{\"MessageId\":\"m-1\"}", unknown, "", 2},
	{"206", strings.Replace(ok("m-1"), "200", "206", 1), unknown, "", 1},
	{"202", strings.Replace(ok("m-1"), "200", "202", 1), unknown, "", 1},
	{"304 with a body", strings.Replace(ok("m-1"), "200", "304", 1), unknown, "", 2},
	{"307 to itself", "HTTP/1.1 307 x\r\nLocation: /v2/email/outbound-emails\r\nContent-Length: 0\r\n\r\n", unknown, "", 1},
	{"101", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: smtp\r\nConnection: Upgrade\r\n\r\n", unknown, "", 2},
	{"three interim answers", strings.Repeat("HTTP/1.1 102 Processing\r\nX: y\r\n\r\n", 3) + ok("m-1"), relay.Accepted, "m-1", 1},
	{"an interim answer with a body", "HTTP/1.1 103 x\r\nContent-Length: 2\r\n\r\n{}" + ok("m-1"), unknown, "", 2},
	{"compressed unasked", "HTTP/1.1 200 OK\r\nX-Amzn-Requestid: rq-1\r\n" + zipped(`{"MessageId":"m-1"}`), relay.Accepted, "rq-1", 1},
	{"a refusal compressed unasked", "HTTP/1.1 400 x\r\n" + zipped(`{"__type":"MessageRejected"}`), unknown, "", 1},
	{"longer than it says", strings.Replace(ok("m-1"), "19", "5", 1), relay.Accepted, "rq-1", 2},
	{"two lengths", ok("m-1", "Content-Length: 5\r\n"), unknown, "", 2},
	{"a length and chunks", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n13\r\n{\"MessageId\":\"m-1\"}\r\n0\r\n\r\n", relay.Accepted, "m-1", 1},
	{"chunks and a trailer", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n13\r\n{\"MessageId\":\"m-1\"}\r\n0\r\nX: y\r\n\r\n", relay.Accepted, "m-1", 1},
	{"chunks and a broken trailer", "HTTP/1.1 200 OK\r\nX-Amzn-Requestid: rq-1\r\nTransfer-Encoding: chunked\r\n\r\n13\r\n{\"MessageId\":\"m-1\"}\r\n0\r\nno field\r\n\r\n", relay.Accepted, "m-1", 2},
	{"a chunk of 2^64", "HTTP/1.1 200 OK\r\nX-Amzn-Requestid: rq-1\r\nTransfer-Encoding: chunked\r\n\r\n10000000000000000\r\n", relay.Accepted, "rq-1", 2},
	{"a length of 2^63", "HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775808\r\n\r\n", unknown, "", 2},
	{"a negative length", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", unknown, "", 2},
	{"an id of 10 MB", ok(strings.Repeat("x", 10<<20)), relay.Accepted, "rq-1", 2},
	{"a request id of control bytes", "HTTP/1.1 200 OK\r\nX-Amzn-Requestid: a[2J\tb\xff\r\nContent-Length: 0\r\n\r\n", relay.Accepted, "a[2Jb", 1},
	{"another answer in the same segment", ok("m-1") + ok("stray"), relay.Accepted, "m-1", 2},
	{"a status of no class", strings.Replace(ok("m-1"), "200", "999", 1), unknown, "", 1},
	{"a status of two digits", strings.Replace(ok("m-1"), "200", "20", 1), unknown, "", 2},
}

// TestOddAnswers: what is certain is certain and the rest is unknown; no mail is
// posted twice; and the next mail's answer is its own, because a connection
// that is out of step is not used again.
func TestOddAnswers(t *testing.T) {
	t.Parallel()
	for _, k := range oddAnswers {
		for _, sender := range senders {
			t.Run(sender+"/"+k.name, func(t *testing.T) {
				t.Parallel()
				s := newRawServer(t, func(s *rawServer, c *rawConn) {
					for c.request() {
						if s.posts.Load() > 1 {
							c.write(ok("next"))
							continue
						}
						c.write(k.answer)
						if strings.Contains(k.name, "chunk of") {
							return
						}
					}
				})
				c := newClient(t, s.url, sender)
				c.wire.answerWait = time.Second // of a 101 net/http reads on
				r, err := send(t, c)
				if k.outcome == relay.Accepted {
					// The SDK cannot read the request id of an answer that it cannot decode.
					if err != nil || r.ID != k.id && sender == SenderDirect {
						t.Fatalf("receipt %.100v, error %v", r, err)
					}
				} else if e := refusal(t, err); e.Outcome != k.outcome || !e.Reply.Temporary() {
					t.Fatalf("got %v", e)
				}
				if r, err := send(t, c); err != nil || r.ID != "next" {
					t.Errorf("the next mail: receipt %.100v, error %v", r, err)
				}
				if n := s.posts.Load(); n != 2 {
					t.Errorf("%d requests for two mails", n)
				}
				if n := s.accepted.Load(); sender == SenderDirect && n != k.connections {
					t.Errorf("%d connections, not %d", n, k.connections)
				}
			})
		}
	}
}

// TestErrorTextIsClean: what SES says about a refusal gets into the log in a
// bounded, printable form, and not at all into the reply.
func TestErrorTextIsClean(t *testing.T) {
	t.Parallel()
	for _, sender := range senders {
		message := `evil\u001b[2J\r\n250 ok\u2028\u202e\u0000 ` + strings.Repeat("long ", 8000) + strings.Repeat("x", 2000)
		url, _ := answering(t, 400, "MessageRejected", `{"message":"`+message+`"}`)
		_, err := send(t, newClient(t, url, sender))
		e := refusal(t, err)
		if e.Outcome != na || e.Reply != relay.ReplyMessage {
			t.Errorf("%s: %v", sender, e)
		}
		text := e.Error()
		if len(text) > maxMessage+500 || !strings.Contains(text, "evil?[2J??250 ok???") {
			t.Errorf("%s: %d bytes: %.200q", sender, len(text), text)
		}
		if i := strings.IndexFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }); i >= 0 {
			t.Errorf("%s: %q", sender, text[i:])
		}
	}
	if got := quotable(strings.Repeat("x", 990)+" taro@docomo.ne.jp", maxMessage); !strings.HasSuffix(got, "x ...") {
		t.Errorf("half an address: %q", got)
	}
}

// TestTwiceTheSameRecipient is one delivery.
func TestTwiceTheSameRecipient(t *testing.T) {
	t.Parallel()
	d := begin(t, newClient(t, "http://127.0.0.1:9", SenderDirect), "a@example.com", "b@example.com", "a@example.com")
	if len(d.to) != 2 || d.to[0] != address(t, "a@example.com") || d.to[1] != address(t, "b@example.com") {
		t.Errorf("SES is asked for %v", d.to)
	}
}
