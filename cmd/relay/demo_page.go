package main

import (
	"html/template"
	"io"

	"sesrelay/internal/simulator"
)

// demoPage lists what the simulated next hops received, newest first.
var demoPage = template.Must(template.New("demo").Parse(`<!doctype html>
<html lang="en"><meta charset="utf-8"><meta http-equiv="refresh" content="2">
<title>Demo: what arrived</title>
<link rel="stylesheet" href="/demo/style.css">
<h1>What arrived</h1>
<p>{{len .}} newest mails at the simulated SES and Cuenote. As JSON: <a href="/demo/messages">/demo/messages</a>. Console: <a href="/">/</a></p>
<table><thead><tr><th>Time<th>Next hop<th>From<th>To<th>Subject<th>Bytes</tr></thead><tbody>
{{range .}}<tr><td>{{.Time.Format "15:04:05.000"}}<td class="{{.Upstream}}">{{.Upstream}}<td>{{.From}}<td>{{range $i, $r := .To}}{{if $i}}, {{end}}{{$r}}{{end}}<td>{{.Subject}}<td class="n">{{.Size}}</tr>
{{else}}<tr><td colspan="6">Nothing yet.</tr>
{{end}}</tbody></table></html>
`))

// demoStyle is a file of its own: the API's content security policy forbids
// styles inside a page.
const demoStyle = `body{font:15px/1.5 system-ui,sans-serif;margin:2rem;color:#1c2330;background:#fff}
table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.35rem .8rem;border-bottom:1px solid #dde2ea;vertical-align:top}
th{font-weight:600;color:#566072}.ses{color:#8a4b00}.cuenote{color:#00507a}td.n{font-variant-numeric:tabular-nums;text-align:right}
@media(prefers-color-scheme:dark){body{background:#12161d;color:#dfe5ee}th,td{border-color:#2b3340}.ses{color:#ffb45c}.cuenote{color:#6fc4f5}}
`

func writeDemoPage(w io.Writer, mails []simulator.Summary) error { return demoPage.Execute(w, mails) }
