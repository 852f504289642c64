package main

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/goreleaser/nfpm/v2/files"
)

// contents are the files of the package; made holds the generated ones.
func contents(o options, made string) files.Contents {
	here := filepath.Join(o.sources, "packaging", "deb")
	systemd := filepath.Join(o.sources, "packaging", "systemd")
	docs := filepath.Join(o.sources, "docs")
	doc := "/usr/share/doc/" + name + "/"
	list := files.Contents{
		file(o.binary, "/usr/bin/relay", 0o755),
		file(filepath.Join(here, "relay-check"), "/usr/bin/relay-check", 0o755),
		conffile(filepath.Join(here, "relay.yaml"), "/etc/relay/relay.yaml"),
		conffile(filepath.Join(here, "relay.default"), "/etc/default/relay"),
		file(filepath.Join(systemd, "relay.service"), "/usr/lib/systemd/system/relay.service", 0o644),
		file(filepath.Join(systemd, "relay.sysusers"), "/usr/lib/sysusers.d/relay.conf", 0o644),
		file(filepath.Join(systemd, "relay.tmpfiles"), "/usr/lib/tmpfiles.d/relay.conf", 0o644),
		file(filepath.Join(made, "relay.1.gz"), "/usr/share/man/man1/relay.1.gz", 0o644),
		link("relay.1.gz", "/usr/share/man/man1/relay-check.1.gz"),
		file(filepath.Join(made, "bash"), "/usr/share/bash-completion/completions/relay", 0o644),
		file(filepath.Join(made, "zsh"), "/usr/share/zsh/vendor-completions/_relay", 0o644),
		file(filepath.Join(made, "fish"), "/usr/share/fish/vendor_completions.d/relay.fish", 0o644),
		file(filepath.Join(made, "changelog.gz"), doc+"changelog.gz", 0o644),
		file(filepath.Join(here, "copyright"), doc+"copyright", 0o644),
		file(filepath.Join(here, "aws.config"), doc+"examples/aws.config", 0o644),
		file(filepath.Join(o.sources, "README.md"), doc+"README.md", 0o644),
	}
	for _, page := range []string{"on-premises.md", "operations.md", "flow.md", "configuration.md", "configuration.schema.json", "decisions.md"} {
		list = append(list, file(filepath.Join(docs, page), doc+page, 0o644))
	}
	for _, d := range []struct {
		path string
		mode os.FileMode
	}{
		{"/etc/relay", 0o755}, {"/etc/credstore", 0o700},
		{doc, 0o755}, {doc + "examples", 0o755},
	} {
		list = append(list, &files.Content{Destination: d.path, Type: files.TypeDir,
			FileInfo: &files.ContentFileInfo{Owner: "root", Group: "root", Mode: d.mode, MTime: o.date}})
	}
	for _, c := range list {
		c.FileInfo.MTime = o.date
	}
	return list
}

func file(source, destination string, mode os.FileMode) *files.Content {
	return &files.Content{Source: source, Destination: destination, Type: files.TypeFile,
		FileInfo: &files.ContentFileInfo{Owner: "root", Group: "root", Mode: mode}}
}

// link is a symbolic link, relative as Debian wants it.
func link(target, destination string) *files.Content {
	c := file(target, destination, 0o777)
	c.Type = files.TypeSymlink
	return c
}

// conffile is a file that dpkg leaves alone once the administrator has changed it.
func conffile(source, destination string) *files.Content {
	c := file(source, destination, 0o644)
	c.Type = files.TypeConfig
	return c
}

// generate writes what is made from the sources: completions, the manual page
// and the changelog, compressed as Debian wants them.
func generate(o options, version, dir string) error {
	for _, shell := range []string{"bash", "zsh", "fish"} {
		out, err := exec.Command(o.host, "completion", shell).Output()
		if err != nil {
			return fmt.Errorf("%s completion %s: %w", o.host, shell, err)
		}
		if err := os.WriteFile(filepath.Join(dir, shell), out, 0o644); err != nil {
			return err
		}
	}
	manual, err := os.ReadFile(filepath.Join(o.sources, "packaging", "deb", "relay.1"))
	if err != nil {
		return err
	}
	if err := writeGzip(filepath.Join(dir, "relay.1.gz"), manual); err != nil {
		return err
	}
	return writeGzip(filepath.Join(dir, "changelog.gz"), []byte(changelog(version, o.date)))
}

// changelog is one entry in Debian's form; the true one is in the repository.
func changelog(version string, date time.Time) string {
	return fmt.Sprintf("%s (%s) unstable; urgency=medium\n\n  * The changes are in CHANGELOG.md of the sources.\n\n -- %s  %s\n",
		name, version, maintainer, date.Format(time.RFC1123Z))
}

func writeGzip(path string, b []byte) error {
	var buf bytes.Buffer
	w, err := gzip.NewWriterLevel(&buf, gzip.BestCompression)
	if err != nil {
		return err
	}
	if _, err := w.Write(b); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	return os.WriteFile(path, buf.Bytes(), 0o644)
}
