// Command image writes a container image with one static binary, the system's
// CA certificates and nothing else, as an archive that docker, podman and
// nerdctl load. It needs no container engine.
package main

import (
	"archive/tar"
	"bytes"
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"io"
)

func main() {
	binary := flag.String("binary", "bin/relay", "static linux `file` to put at /relay")
	arch := flag.String("arch", "amd64", "architecture of the binary")
	tag := flag.String("tag", "sesrelay:latest", "`name` of the image")
	out := flag.String("out", "dist/relay-image.tar", "archive `file` to write")
	sbom := flag.String("sbom", "", "`file` to write what the image is made of to, in CycloneDX; empty: none")
	release := flag.String("version", "(devel)", "version of the binary, for the SBOM")
	certificates := flag.String("certificates", "/etc/ssl/certs/ca-certificates.crt", "`file` of CA certificates")
	flag.Parse()
	err := run(*binary, *arch, *tag, *out, *certificates)
	if err == nil && *sbom != "" {
		err = writeSBOM(*binary, *certificates, *release, *sbom)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
}

// nobody is the user that distroless images call nonroot.
const nobody = "65532:65532"

func run(binary, arch, tag, out, certificates string) error {
	layer, err := newLayer(map[string]string{"relay": binary, "etc/ssl/certs/ca-certificates.crt": certificates})
	if err != nil {
		return err
	}
	img, err := mutate.AppendLayers(mutate.MediaType(empty.Image, types.DockerManifestSchema2), layer)
	if err != nil {
		return err
	}
	cfg, err := img.ConfigFile()
	if err != nil {
		return err
	}
	cfg = cfg.DeepCopy()
	cfg.OS, cfg.Architecture = "linux", arch
	cfg.Config = v1.Config{
		User: nobody, Entrypoint: []string{"/relay"}, Cmd: []string{"serve", "--config", "/etc/relay/relay.yaml"},
		ExposedPorts: map[string]struct{}{"2525/tcp": {}, "8025/tcp": {}},
		Labels:       map[string]string{"org.opencontainers.image.title": "sesrelay", "org.opencontainers.image.licenses": "Apache-2.0"},
	}
	if img, err = mutate.ConfigFile(img, cfg); err != nil {
		return err
	}
	ref, err := name.NewTag(tag)
	if err != nil {
		return err
	}
	return tarball.WriteToFile(out, ref, img)
}

// newLayer makes a layer of files; times are fixed, so that the same binary
// gives the same image.
func newLayer(files map[string]string) (v1.Layer, error) {
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, path := range []string{"etc/ssl/certs/ca-certificates.crt", "relay"} {
		b, err := os.ReadFile(files[path])
		if err != nil {
			return nil, err
		}
		mode := int64(0o644)
		if path == "relay" {
			mode = 0o755
		}
		if err := w.WriteHeader(&tar.Header{Name: path, Mode: mode, Size: int64(len(b)), ModTime: time.Unix(0, 0)}); err != nil {
			return nil, err
		}
		if _, err := w.Write(b); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(buf.Bytes())), nil })
}
