package suppression

import (
	"bytes"
	"errors"
	"unicode/utf8"

	"golang.org/x/text/encoding/japanese"
)

// Errors of a file whose characters cannot be read.
var (
	errUTF16    = errors.New(`the file is UTF-16 ("Unicode" in Windows): save it as UTF-8 or Shift_JIS`)
	errBinary   = errors.New("the file holds NUL bytes: it is no text; a spreadsheet has to be saved as CSV first")
	errEncoding = errors.New("the file is neither UTF-8 nor Shift_JIS: save it as UTF-8")
)

var (
	bomUTF8  = []byte("\xef\xbb\xbf")
	bomUTF16 = [][]byte{[]byte("\xff\xfe"), []byte("\xfe\xff")}
)

// decode returns the text as UTF-8 with LF line ends, and the name of the
// encoding that it had. Shift_JIS is decoded and not passed by: the second byte
// of a character can be "@".
func decode(data []byte) (text []byte, encoding string, err error) {
	for _, bom := range bomUTF16 {
		if bytes.HasPrefix(data, bom) {
			return nil, "", errUTF16
		}
	}
	data = bytes.TrimPrefix(data, bomUTF8)
	if bytes.IndexByte(data, 0) >= 0 {
		return nil, "", errBinary
	}
	encoding = "UTF-8"
	if !utf8.Valid(data) {
		encoding = "Shift_JIS"
		if data, err = japanese.ShiftJIS.NewDecoder().Bytes(data); err != nil || bytes.ContainsRune(data, utf8.RuneError) {
			return nil, "", errEncoding
		}
	}
	data = bytes.ReplaceAll(data, []byte("\r\n"), []byte("\n"))
	return bytes.ReplaceAll(data, []byte("\r"), []byte("\n")), encoding, nil
}
