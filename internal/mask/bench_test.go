package mask

import (
	"os"
	"testing"
)

func BenchmarkAppendAddress(b *testing.B) {
	m := newTest(b, Masked)
	var buf [128]byte
	b.ReportAllocs()
	for b.Loop() {
		m.AppendAddress(buf[:0], "taro.yamada@docomo.ne.jp")
	}
}

func BenchmarkAddress(b *testing.B) {
	m := newTest(b, Masked)
	b.ReportAllocs()
	for b.Loop() {
		m.Address("taro.yamada@docomo.ne.jp")
	}
}

func BenchmarkAppendText(b *testing.B) {
	m := newTest(b, Masked)
	var buf [512]byte
	const line = "to=<taro.yamada@docomo.ne.jp>, relay=mfsmax.docomo.ne.jp[192.0.2.25]:25, delay=0.4, dsn=5.1.1, status=bounced (host said: 550 5.1.1 <taro.yamada@docomo.ne.jp>: User unknown)"
	b.ReportAllocs()
	b.SetBytes(int64(len(line)))
	for b.Loop() {
		m.AppendText(buf[:0], line)
	}
}

func BenchmarkAppendTextWithout(b *testing.B) {
	m := newTest(b, Masked)
	var buf [512]byte
	const line = "250 2.0.0 Ok: queued as 4DxYz 0106019abc3de4f5-7c191be4-e9ae-4a12-a87d-dd0099a07f8a-000000"
	b.ReportAllocs()
	for b.Loop() {
		m.AppendText(buf[:0], line)
	}
}

func BenchmarkEvent(b *testing.B) {
	m := newTest(b, Masked)
	data, err := os.ReadFile("testdata/events/bounce.json")
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := m.Event(data); err != nil {
			b.Fatal(err)
		}
	}
}
