// Package packaging holds what the relay is installed with beside Postfix: the
// systemd unit and the Debian package. There is no code in it but the tests,
// which build, install, upgrade and purge the package in a directory.
package packaging
