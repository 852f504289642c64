package main

import "syscall"

// ownGroup puts a child into a process group of its own, and ends it should
// this process be killed.
func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}
