package main

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// usage is what a process has used so far.
type usage struct {
	CPU     time.Duration // user and system, all threads, ended ones included
	RSS     int64         // bytes now
	PeakRSS int64         // most bytes ever
}

// clockTick is the unit of times in /proc/PID/stat: 1/100 s on every Linux that
// Go runs on (USER_HZ).
const clockTick = 10 * time.Millisecond

// readUsage reads a process's usage from /proc, which only Linux has. The error
// of a process that has ended, or of another system, leaves zeros.
func readUsage(pid int) (u usage, err error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return u, err
	}
	// The name in parentheses may hold spaces; what follows it does not.
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) < 13 {
		return u, fmt.Errorf("/proc/%d/stat: %d fields", pid, len(fields))
	}
	for _, f := range fields[11:13] { // utime, stime
		ticks, err := strconv.ParseInt(string(f), 10, 64)
		if err != nil {
			return u, fmt.Errorf("/proc/%d/stat: %w", pid, err)
		}
		u.CPU += time.Duration(ticks) * clockTick
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return u, err
	}
	u.RSS, u.PeakRSS = kilobytes(status, "VmRSS:"), kilobytes(status, "VmHWM:")
	return u, nil
}

// kilobytes reads a line "VmRSS:   1234 kB" as bytes; 0 when there is none.
func kilobytes(status []byte, name string) int64 {
	_, rest, ok := bytes.Cut(status, []byte("\n"+name))
	if !ok {
		return 0
	}
	value := bytes.Fields(rest)
	if len(value) == 0 {
		return 0
	}
	n, err := strconv.ParseInt(string(value[0]), 10, 64)
	if err != nil {
		return 0
	}
	return n << 10
}

// busyTime is the CPU time that all processes of the machine have used.
func busyTime() (busy time.Duration) {
	fields := strings.Fields(firstLine("/proc/stat"))
	for i, f := range fields {
		if i == 0 || i == 4 || i == 5 || i > 8 { // name, idle, iowait, guests (counted in user)
			continue
		}
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return 0
		}
		busy += time.Duration(n) * clockTick
	}
	return busy
}

// firstLine is the first line of a file; "" when it cannot be read.
func firstLine(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	line, _, _ := strings.Cut(string(b), "\n")
	return line
}

// loadAverage is the machine's load over 1, 5 and 15 minutes.
func loadAverage() string {
	fields := strings.Fields(firstLine("/proc/loadavg"))
	return strings.Join(fields[:min(3, len(fields))], " ")
}

// cpuModel is the processor's name; "" where /proc does not tell.
func cpuModel() string {
	b, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return ""
	}
	_, rest, _ := strings.Cut(string(b), "model name")
	line, _, _ := strings.Cut(rest, "\n")
	return strings.TrimSpace(strings.TrimLeft(line, "\t :"))
}
