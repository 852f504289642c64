// Command deb writes the Debian package of the relay. It needs no Debian. The
// same binary, version and date give the same bytes.
package main

import (
	"debug/elf"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/goreleaser/nfpm/v2"
	"github.com/goreleaser/nfpm/v2/deb"
	"github.com/goreleaser/nfpm/v2/files"
)

const name, maintainer = "sesrelay", "sesrelay maintainers <postmaster@goo.ne.jp>"

// options are the flags.
type options struct {
	sources string // the repository
	binary  string // for the package's architecture
	host    string // the same for this machine: it writes the completions
	arch    string
	version string // as git describe says it
	date    time.Time
	out     string // directory
}

func main() {
	var o options
	var seconds int64
	flag.StringVar(&o.sources, "sources", "../..", "the repository's `directory`")
	flag.StringVar(&o.binary, "binary", "", "static linux `file` to put at /usr/bin/relay")
	flag.StringVar(&o.host, "host-binary", "", "the relay as a `file` that runs here, for the completions")
	flag.StringVar(&o.arch, "arch", "amd64", "Debian's name of the `architecture`")
	flag.StringVar(&o.version, "version", "", "`version`, as git describe says it")
	flag.Int64Var(&seconds, "date", 0, "time of the version in `seconds` since 1970")
	flag.StringVar(&o.out, "out", "../../dist", "`directory` to write to")
	flag.Parse()
	o.date = time.Unix(seconds, 0).UTC()
	path, err := run(o)
	if err != nil {
		fmt.Fprintln(os.Stderr, "deb:", err)
		os.Exit(1)
	}
	fmt.Println(path)
}

// run writes the package and returns its path.
func run(o options) (string, error) {
	version, err := debianVersion(o.version, o.date)
	if err != nil {
		return "", err
	}
	if err := fits(o.binary, o.arch); err != nil {
		return "", err
	}
	made, err := os.MkdirTemp("", "sesrelay-deb-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(made)
	if err := generate(o, version, made); err != nil {
		return "", err
	}
	info := nfpm.WithDefaults(packageInfo(o, version, contents(o, made)))
	if err := nfpm.PrepareForPackager(info, "deb"); err != nil {
		return "", err
	}
	path := filepath.Join(o.out, deb.Default.ConventionalFileName(info))
	f, err := os.Create(path)
	if err != nil {
		return "", err
	}
	if err := deb.Default.Package(info, f); err != nil {
		f.Close()
		os.Remove(path)
		return "", err
	}
	return path, f.Close()
}

var (
	released = regexp.MustCompile(`^v?([0-9]+(?:\.[0-9]+)*)(-(?:alpha|beta|rc)[0-9.]*)?(?:-([0-9]+)-(g[0-9a-f]+))?(-dirty)?$`)
	unnamed  = regexp.MustCompile(`^([0-9a-f]{7,40})(-dirty)?$`)
)

// debianVersion turns the words of git describe into a version that grows with
// them: v1.2.0-rc.1 is 1.2.0~rc.1, v1.2.0-5-gabc1234 is 1.2.0+5.gabc1234, and a
// commit without a tag is 0~20261123101500.abc1234, below every release.
func debianVersion(described string, date time.Time) (string, error) {
	if m := released.FindStringSubmatch(described); m != nil {
		v := m[1]
		if m[2] != "" {
			v += "~" + m[2][1:]
		}
		if m[3] != "" {
			v += "+" + m[3] + "." + m[4]
		}
		return v + strings.Replace(m[5], "-", "+", 1), nil
	}
	if m := unnamed.FindStringSubmatch(described); m != nil {
		if date.Unix() == 0 {
			return "", fmt.Errorf("version %q has no tag before it: -date must say when it was made", described)
		}
		return "0~" + date.Format("20060102150405") + "." + m[1] + strings.Replace(m[2], "-", "+", 1), nil
	}
	return "", fmt.Errorf("version %s is none that git describe gives: say VERSION=1.2.3", strconv.Quote(described))
}

// machines are the architectures that the package is made for.
var machines = map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}

// fits refuses a binary of another architecture, and one that needs libraries:
// the package depends on none.
func fits(binary, arch string) error {
	want, ok := machines[arch]
	if !ok {
		return fmt.Errorf("architecture %q: there are packages for amd64 and arm64", arch)
	}
	f, err := elf.Open(binary)
	if err != nil {
		return err
	}
	defer f.Close()
	if f.Machine != want {
		return fmt.Errorf("%s is for %v, the package for %s", binary, f.Machine, arch)
	}
	libraries, err := f.ImportedLibraries()
	if err != nil {
		return err
	}
	if len(libraries) > 0 {
		return fmt.Errorf("%s needs %v: build it with CGO_ENABLED=0", binary, libraries)
	}
	return nil
}

func packageInfo(o options, version string, contents files.Contents) *nfpm.Info {
	here := filepath.Join(o.sources, "packaging", "deb")
	return &nfpm.Info{
		Name: name, Arch: o.arch, Platform: "linux", Version: version, VersionSchema: "none",
		Section: "mail", Priority: "optional", Maintainer: maintainer, MTime: o.date,
		Description: "SMTP relay in front of Amazon SES\n" +
			"Stands between mail servers and two next hops: a share of the mail, changed\n" +
			"while mail flows, goes to Amazon SES, the rest to another SMTP relay. It owns\n" +
			"no mail: the client gets its 250 only after a next hop has accepted.",
		Overridables: nfpm.Overridables{
			// LoadCredential finds /etc/credstore since 252.
			Depends:  []string{"systemd (>= 252)", "init-system-helpers (>= 1.52)", "ca-certificates"},
			Suggests: []string{"postfix"},
			Contents: contents,
			Scripts: nfpm.Scripts{
				PostInstall: filepath.Join(here, "postinst"),
				PreRemove:   filepath.Join(here, "prerm"),
				PostRemove:  filepath.Join(here, "postrm"),
			},
			Deb: nfpm.Deb{Compression: "gzip"},
		},
	}
}
