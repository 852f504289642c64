package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"testing"
	"time"
)

// TestBench: every part of the bench with real processes, small. Peers that
// have to be installed are left out: a test of the relay needs no Haraka.
func TestBench(t *testing.T) {
	if _, err := smtpSource(); err != nil {
		t.Skip(err)
	}
	t.Parallel()
	relay, err := relayBinary()
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	o := &benchOptions{Relays: []string{"new=" + relay}, Routes: []string{"ses-https", "cuenote"}, Mails: 200, Rounds: 2, Sessions: 20,
		Size: "8KiB", Sizes: []string{"1MiB"}, Peers: []string{"nobody", "bare"}}
	if err := runBench(t.Context(), &out, o, []func(context.Context, *bench) error{benchCPU, benchSizes}); err != nil {
		t.Fatalf("%v\n%s", err, &out)
	}
	for _, route := range o.Routes {
		lines := regexp.MustCompile(`(?m)^BenchmarkEndToEnd/system=new/route=`+route+`/size=8KiB-\d+\t200\t([\d.]+) cpu-s/1000\t`).FindAllStringSubmatch(out.String(), -1)
		if len(lines) != o.Rounds {
			t.Errorf("%s: %d lines in\n%s", route, len(lines), &out)
		}
		for _, line := range lines {
			if cpu, err := strconv.ParseFloat(line[1], 64); err != nil || cpu <= 0 || cpu > 100 {
				t.Errorf("%s: %q", route, line[0])
			}
		}
		if !regexp.MustCompile(`(?m)^new +` + route + ` +1MiB +`).MatchString(out.String()) {
			t.Errorf("%s: no line for 1MiB in\n%s", route, &out)
		}
	}
	if n := len(regexp.MustCompile(`(?m)^BenchmarkEndToEnd/system=bare/route=smtp/size=8KiB-\d+\t100\t`).FindAllString(out.String(), -1)); n != o.Rounds {
		t.Errorf("bare: %d lines in\n%s", n, &out)
	}
	if !bytes.Contains(out.Bytes(), []byte("nobody is NOT MEASURED")) {
		t.Errorf("nobody was not missed:\n%s", &out)
	}
}

// TestTreeUsage: what a child has used counts, also when it is gone.
func TestTreeUsage(t *testing.T) {
	t.Parallel()
	cmd := exec.Command("sh", "-c", `sh -c 'i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done'; read line`)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer in.Close()
	for end := time.Now().Add(time.Minute); ; {
		u, err := treeUsage(cmd.Process.Pid)
		if err == nil && u.CPU >= 2*clockTick && descendants(cmd.Process.Pid) == 0 {
			return // it ended, and is counted
		}
		if time.Now().After(end) {
			t.Fatalf("%+v, %v", u, err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// descendants is how many processes descend from one.
func descendants(root int) (n int) {
	all := processes()
	for pid := range all {
		if pid != root && descends(all, pid, root) {
			n++
		}
	}
	return n
}

func TestParseStat(t *testing.T) {
	got := parseStat([]byte("42 (a name) S) S 7 42 42 0 -1 4194560 1 2 3 4 11 22 33 44 20 0 1 0 5 6 7"))
	if want := (procStat{parent: 7, cpu: 110 * clockTick}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if own, ok := processes()[os.Getpid()]; !ok || own.parent != os.Getppid() {
		t.Errorf("this process: %+v, %t", own, ok)
	}
}

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   float64
	}{{nil, 0}, {[]float64{3}, 3}, {[]float64{5, 1, 2}, 2}, {[]float64{4, 1, 3, 2}, 2.5}} {
		if got := median(c.values); got != c.want {
			t.Errorf("%v: %g", c.values, got)
		}
	}
}
