package smtp

import "testing"

func TestOneMail(t *testing.T) {
	t.Parallel()
	k := &keeper{}
	_, address := serve(t, k, nil)
	c := open(t, address)
	c.do("MAIL FROM:<a@goo.ne.jp> BODY=8BITMIME SIZE=20", "250 2.1.0")
	c.do("RCPT TO:<b@docomo.ne.jp>", "250 2.1.5 Recipient ok")
	c.do("DATA", "354 ")
	c.send("Subject: x\r\n\r\n..dot\r\n.\r\n")
	c.want("250 2.0.0 id1 accepted")
	c.do("QUIT", "221 ")
	c.ended()
	m := k.accepted()
	if len(m) != 1 || string(m[0].body) != "Subject: x\r\n\r\n.dot\r\n" {
		t.Fatalf("kept %+v", m)
	}
}
