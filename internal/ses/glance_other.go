//go:build !unix

package ses

// readNow can say nothing here: a dead connection is noticed by its use.
func (c *conn) readNow([]byte) (int, error) { return 0, errNothingYet }
