package admin

import "fmt"

// Role is what a caller may do. A role may do all that a lower one may.
type Role int

// The roles, lowest first. Anyone and Network are no roles of a token: Anyone
// asks for nothing (health checks of load balancers), Network for an address
// in one of the roles' networks (the console's files, which hold no data).
const (
	Anyone Role = iota
	Network
	Monitoring
	Readonly
	Admin
)

var roleNames = [...]string{"anyone", "network", "monitoring", "readonly", "admin"}

// String returns the role as tokens_file and the API's description write it.
func (r Role) String() string { return roleNames[r] }

// ParseRole reads the role of a token.
func ParseRole(s string) (Role, error) {
	for r := Monitoring; r <= Admin; r++ {
		if roleNames[r] == s {
			return r, nil
		}
	}
	return 0, fmt.Errorf("role %q: write admin, readonly or monitoring", s)
}
