package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// treeUsage is the usage of a process and all that descend from it, ended ones
// included: Postfix's daemons come and go. PeakRSS is the sum of the peaks of
// those that live.
func treeUsage(root int) (u usage, err error) {
	all := processes()
	if _, ok := all[root]; !ok {
		return u, fmt.Errorf("/proc has no process %d", root)
	}
	for pid, p := range all {
		if !descends(all, pid, root) {
			continue
		}
		u.CPU += p.cpu
		if one, err := readUsage(pid); err == nil {
			u.RSS += one.RSS
			u.PeakRSS += one.PeakRSS
		}
	}
	return u, nil
}

// procStat is what /proc/PID/stat says about a process.
type procStat struct {
	parent int
	cpu    time.Duration // its own, and of its children that it has waited for
}

// processes reads every process of the machine; what ends meanwhile is left out.
func processes() map[int]procStat {
	files, _ := filepath.Glob("/proc/[0-9]*/stat")
	all := make(map[int]procStat, len(files))
	for _, file := range files {
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if stat, err := os.ReadFile(file); err == nil {
			all[pid] = parseStat(stat)
		}
	}
	return all
}

// parseStat reads fields 4 (parent) and 14 to 17 (times) of proc(5).
func parseStat(stat []byte) (p procStat) {
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) < 15 {
		return p
	}
	p.parent, _ = strconv.Atoi(string(fields[1]))
	for _, f := range fields[11:15] {
		ticks, _ := strconv.ParseInt(string(f), 10, 64)
		p.cpu += time.Duration(ticks) * clockTick
	}
	return p
}

func descends(all map[int]procStat, pid, root int) bool {
	for range len(all) { // bounded: a snapshot that is not of one moment could have a loop
		if pid == root {
			return true
		}
		p, ok := all[pid]
		if !ok || p.parent == 0 {
			return false
		}
		pid = p.parent
	}
	return false
}
