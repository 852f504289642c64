package e2e

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/japanese"
)

// corpusMail is one mail of the corpus: what a program hands to Postfix.
type corpusMail struct {
	id      string // value of X-Test-Id
	from    string
	to      []string
	content []byte // CRLF lines, not dot-stuffed

	parameters string // further ones of MAIL, with a blank before each
}

// corpus makes n mails that look like what a Japanese portal sends, and some
// that only look odd: every one of them is legal. The same seed, the same mails.
func corpus(n int) []corpusMail {
	rnd := rand.New(rand.NewPCG(2026, 11))
	kinds := []func(*rand.Rand) (header, body string){
		plainJapanese("ISO-2022-JP", japanese.ISO2022JP),
		plainJapanese("Shift_JIS", japanese.ShiftJIS),
		plainJapanese("EUC-JP", japanese.EUCJP),
		utf8Mail, base64Mail, attachment, dots, oddHeaders, longLines, manyHeaders, emptyBody, alternative,
	}
	mails := make([]corpusMail, n)
	for i := range mails {
		header, body := kinds[i%len(kinds)](rnd)
		m := corpusMail{id: fmt.Sprintf("corpus-%04d", i), from: fmt.Sprintf("news-%d@goo.ne.jp", i%13)}
		m.to = []string{fmt.Sprintf("user%d@example.jp", i)}
		if i%10 == 3 {
			m.to = append(m.to, fmt.Sprintf("second%d@example.jp", i), fmt.Sprintf("third%d@example.ne.jp", i))
		}
		var b bytes.Buffer
		fmt.Fprintf(&b, "From: =?ISO-2022-JP?B?GyRCJUYlOSVIGyhC?= <%s>\r\nTo: <%s>\r\nX-Test-Id: %s\r\nMessage-ID: <%s@goo.ne.jp>\r\nDate: Mon, 23 Nov 2026 10:00:00 +0900\r\n%s\r\n%s",
			m.from, m.to[0], m.id, m.id, header, body)
		m.content = b.Bytes()
		mails[i] = m
	}
	return mails
}

var sentences = []string{
	"いつもgooをご利用いただき、ありがとうございます。", "ご注文の確認メールです。", "パスワードの再設定はこちらから。",
	"本日のニュースをお届けします。", "半角カナとローマ数字は使いません。", "お問い合わせ番号をご確認ください。",
}

func text(rnd *rand.Rand, lines int) string {
	var b strings.Builder
	for range lines {
		b.WriteString(sentences[rnd.IntN(len(sentences))] + "\r\n")
	}
	return b.String()
}

// plainJapanese is the classic mail of a mailing list in the given charset.
func plainJapanese(charset string, enc encoding.Encoding) func(*rand.Rand) (string, string) {
	return func(rnd *rand.Rand) (string, string) {
		body, err := enc.NewEncoder().String(text(rnd, 3+rnd.IntN(30)))
		if err != nil {
			panic(err)
		}
		cte := "8bit"
		if charset == "ISO-2022-JP" {
			cte = "7bit"
		}
		return fmt.Sprintf("Subject: %s\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=%s\r\nContent-Transfer-Encoding: %s\r\n",
			encodedWord(charset, enc, sentences[rnd.IntN(len(sentences))]), charset, cte), body
	}
}

func encodedWord(charset string, enc encoding.Encoding, s string) string {
	e, err := enc.NewEncoder().String(s)
	if err != nil {
		panic(err)
	}
	return "=?" + charset + "?B?" + base64.StdEncoding.EncodeToString([]byte(e)) + "?="
}

func utf8Mail(rnd *rand.Rand) (string, string) {
	return "Subject: =?UTF-8?Q?=E3=81=8A=E7=9F=A5=E3=82=89=E3=81=9B?=\r\n =?UTF-8?Q?=E3=81=A7=E3=81=99?=\r\nMIME-Version: 1.0\r\n" +
		"Content-Type: text/plain; charset=UTF-8\r\nContent-Transfer-Encoding: 8bit\r\n", text(rnd, 20)
}

func base64Mail(rnd *rand.Rand) (string, string) {
	return "Subject: base64\r\nMIME-Version: 1.0\r\nContent-Type: text/html; charset=UTF-8\r\nContent-Transfer-Encoding: base64\r\n",
		wrapped([]byte("<p>" + text(rnd, 40) + "</p>"))
}

func wrapped(b []byte) string {
	s := base64.StdEncoding.EncodeToString(b)
	var out strings.Builder
	for len(s) > 76 {
		out.WriteString(s[:76] + "\r\n")
		s = s[76:]
	}
	return out.String() + s + "\r\n"
}

func attachment(rnd *rand.Rand) (string, string) {
	pdf := make([]byte, 1000+rnd.IntN(60000))
	for i := range pdf {
		pdf[i] = byte(rnd.Uint32())
	}
	return "Subject: attachment\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed;\r\n\tboundary=\"=_b\"\r\n",
		"preamble\r\n--=_b\r\nContent-Type: text/plain\r\nX-SES-CONFIGURATION-SET: stays, this is a part\r\n\r\nsee the file\r\n--=_b\r\n" +
			"Content-Type: application/pdf;\r\n name*=UTF-8''%E8%AB%8B%E6%B1%82%E6%9B%B8.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n" +
			wrapped(pdf) + "--=_b--\r\nepilogue\r\n"
}

// dots has every line that dot-stuffing could get wrong.
func dots(*rand.Rand) (string, string) {
	return "Subject: dots\r\n", ".\r\n..\r\n...\r\n.leading\r\nmiddle . dot\r\n.\r\n\r\n.\r\nQUIT\r\nMAIL FROM:<x@y>\r\n" + strings.Repeat(".\r\n", 50) + "end.\r\n"
}

// oddHeaders is legal and unusual: folding, tabs, comments, empty bodies, case.
func oddHeaders(*rand.Rand) (string, string) {
	return "subject: odd\r\nX-Empty:\r\nX-Folded: a\r\n\tb\r\n  c\r\nX-Session: not X-SES\r\nx-ses-message-tags: campaign=evil\r\n" +
		"X-SES-CONFIGURATION-SET: evil\r\n , folded\r\nX-Ses-Tenant : evil\r\nReferences: <a@b>\r\n <c@d>\r\nX-Colon: a:b:c\r\nX-Trailing: blank \r\n", "body\r\n"
}

// longLines reaches the 998 characters of RFC 5322 section 2.1.1, which Postfix
// leaves alone.
func longLines(*rand.Rand) (string, string) {
	return "Subject: long\r\nX-Long: " + strings.Repeat("h", 980) + "\r\n", strings.Repeat(strings.Repeat("z", 998)+"\r\n", 20)
}

func manyHeaders(rnd *rand.Rand) (string, string) {
	var b strings.Builder
	for i := range 100 {
		fmt.Fprintf(&b, "X-Header-%d: %s\r\n", i, strings.Repeat("v", rnd.IntN(70)))
	}
	return "Subject: many\r\n" + b.String(), "body\r\n"
}

func emptyBody(*rand.Rand) (string, string) { return "Subject: empty\r\n", "" }

func alternative(rnd *rand.Rand) (string, string) {
	return "Subject: =?utf-8?B?44GK5aW944G/?=\r\nMIME-Version: 1.0\r\nContent-Type: multipart/alternative; boundary=x\r\n",
		"--x\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n" + text(rnd, 10) + "\r\n--x\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<p>" +
			text(rnd, 10) + "</p>\r\n\r\n--x--\r\n"
}

// large is one mail of n bytes of body.
func large(n int) corpusMail {
	line := strings.Repeat("0123456789abcdef", 4) + "\r\n"
	m := corpusMail{id: "large", from: "news-1@goo.ne.jp", to: []string{"large@example.jp"}}
	m.content = []byte("From: <news-1@goo.ne.jp>\r\nX-Test-Id: large\r\nMessage-ID: <large@goo.ne.jp>\r\nTo: <large@example.jp>\r\nDate: Mon, 23 Nov 2026 10:00:00 +0900\r\nSubject: large\r\n\r\n" + strings.Repeat(line, n/len(line)))
	return m
}

// own returns what the relay must hand on unchanged: the content without the
// X-SES-* fields of its header section.
func (m *corpusMail) own() string {
	head, body, _ := strings.Cut(string(m.content), "\r\n\r\n")
	var kept []string
	drop := false
	for _, line := range strings.Split(head, "\r\n") {
		if line[0] != ' ' && line[0] != '\t' {
			drop = strings.HasPrefix(strings.ToLower(line), "x-ses-")
		}
		if !drop {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "\r\n") + "\r\n\r\n" + body
}

func TestCorpusIsLegal(t *testing.T) {
	for _, m := range corpus(100) {
		for i, line := range bytes.SplitAfter(m.content, []byte("\n")) {
			if len(line) > 0 && !bytes.HasSuffix(line, []byte("\r\n")) || len(line) > 1000 {
				t.Fatalf("%s: line %d: %.40q... (%d bytes)", m.id, i, line, len(line))
			}
		}
	}
}
