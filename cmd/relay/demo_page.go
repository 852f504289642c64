package main

import (
	"bytes"
	"fmt"
	"html"
	"io"
	"strings"

	"sesrelay/internal/simulator"
)

// The page lists what the simulated next hops received, newest first. It is
// written without html/template, whose calls of methods by name keep every
// exported method of every package in the binary (docs/decisions.md).
const (
	demoHead = `<!doctype html>
<html lang="en"><meta charset="utf-8"><meta http-equiv="refresh" content="2">
<title>Demo: what arrived</title>
<link rel="stylesheet" href="/demo/style.css">
<h1>What arrived</h1>
<p>%d newest mails at the simulated SES and Cuenote. As JSON: <a href="/demo/messages">/demo/messages</a>. Console: <a href="/">/</a></p>
<table><thead><tr><th>Time<th>Next hop<th>From<th>To<th>Subject<th>Bytes</tr></thead><tbody>
`
	demoRow  = "<tr><td>%s<td class=\"%s\">%[2]s<td>%s<td>%s<td>%s<td class=\"n\">%d</tr>\n"
	demoNone = "<tr><td colspan=\"6\">Nothing yet.</tr>\n"
	demoFoot = "</tbody></table></html>\n"
)

// demoStyle is a file of its own: the API's content security policy forbids
// styles inside a page.
const demoStyle = `body{font:15px/1.5 system-ui,sans-serif;margin:2rem;color:#1c2330;background:#fff}
table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.35rem .8rem;border-bottom:1px solid #dde2ea;vertical-align:top}
th{font-weight:600;color:#566072}.ses{color:#8a4b00}.cuenote{color:#00507a}td.n{font-variant-numeric:tabular-nums;text-align:right}
@media(prefers-color-scheme:dark){body{background:#12161d;color:#dfe5ee}th,td{border-color:#2b3340}.ses{color:#ffb45c}.cuenote{color:#6fc4f5}}
`

func writeDemoPage(w io.Writer, mails []simulator.Summary) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, demoHead, len(mails))
	text := html.EscapeString // what stands there came by mail
	for _, m := range mails {
		fmt.Fprintf(&b, demoRow, m.Time.Format("15:04:05.000"), text(m.Upstream), text(m.From), text(strings.Join(m.To, ", ")), text(m.Subject), m.Size)
	}
	if len(mails) == 0 {
		b.WriteString(demoNone)
	}
	b.WriteString(demoFoot)
	_, err := b.WriteTo(w)
	return err
}
