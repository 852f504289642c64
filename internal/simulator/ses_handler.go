package simulator

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// routes are the calls that this endpoint knows, as in the SES API v2 reference.
func (s *SES) routes() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v2/email/outbound-emails", s.sendEmail)
	mux.HandleFunc("GET /v2/email/account", s.read(AtAccount, s.getAccount))
	mux.HandleFunc("GET /v2/email/identities", s.read(AtIdentity, s.listIdentities)) // SDKs until 2025
	mux.HandleFunc("POST /v2/email/list-identities", s.read(AtIdentity, s.listIdentities))
	mux.HandleFunc("GET /v2/email/identities/{id}", s.read(AtIdentity, s.getIdentity))
	mux.HandleFunc("GET /v2/email/configuration-sets/{name}", s.read(AtConfigurationSet, s.getConfigurationSet))
	mux.HandleFunc("POST /v2/email/import-jobs", s.read(AtSuppression, s.createImportJob))
	mux.HandleFunc("GET /v2/email/import-jobs/{id}", s.read(AtSuppression, s.getImportJob))
	mux.HandleFunc("PUT /v2/email/suppression/addresses", s.read(AtSuppression, s.putSuppressedDestination))
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		fail(w, apiError{http.StatusNotFound, "UnknownOperationException", "The simulator does not know " + r.Method + " " + r.URL.Path + "."})
	})
	return mux
}

// ServeHTTP answers one request of the SES v2 API.
func (s *SES) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n := s.requests.Add(1)
	w.Header().Set("x-amzn-RequestId", s.uuid(uint64(n)))
	if s.outage.Load() {
		fail(w, errUnavailable)
		return
	}
	s.mux.ServeHTTP(w, r)
}

// uuid makes the n-th request id, in the shape of the real ones.
func (s *SES) uuid(n uint64) string {
	const hexDigits = "0123456789abcdef"
	b := []byte(s.idPrefix + "-0000-4000-8000-000000000000")
	for i := len(b) - 1; n > 0; i, n = i-1, n>>4 {
		b[i] = hexDigits[n&15]
	}
	return string(b)
}

// maxBody is a little more than what 40 MiB of base64 and the rest of a request can take.
const maxBody = 41 << 20

// bodies are reused between requests: a load test sends a hundred megabytes a second through here.
var bodies = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// readBody reads the request into a pooled buffer, slowly if that is the fault. ok is false when an answer was given
// or the client has gone.
func (s *SES) readBody(w http.ResponseWriter, r *http.Request, at string) (body *bytes.Buffer, ok bool) {
	if fault, struck := s.faults.strike(at, strikesBeforeRead); struck {
		if fault.Name == FaultCutBeforeRead {
			pause(r.Context(), fault.Delay)
			cut(w, false)
			return nil, false
		}
		r.Body = struct {
			io.Reader
			io.Closer
		}{&slowReader{ctx: r.Context(), r: r.Body, piece: r.ContentLength/slowPieces + 1, wait: fault.Delay / slowPieces}, r.Body}
	}
	body = bodies.Get().(*bytes.Buffer)
	body.Reset()
	if r.ContentLength > maxBody {
		bodies.Put(body)
		w.Header().Set("Connection", "close")
		fail(w, apiError{http.StatusRequestEntityTooLarge, "RequestEntityTooLargeException", "Request size exceeded " + strconv.Itoa(maxBody) + " bytes."})
		return nil, false
	}
	if r.ContentLength > 0 {
		body.Grow(int(r.ContentLength) + bytes.MinRead)
	}
	if _, err := body.ReadFrom(io.LimitReader(r.Body, maxBody+1)); err != nil || body.Len() > maxBody {
		bodies.Put(body)
		cut(w, false)
		return nil, false
	}
	return body, true
}

const slowPieces = 16

// slowReader reads in pieces and waits before each.
type slowReader struct {
	ctx   context.Context
	r     io.Reader
	piece int64
	wait  time.Duration
}

func (s *slowReader) Read(b []byte) (int, error) {
	if !pause(s.ctx, s.wait) {
		return 0, s.ctx.Err()
	}
	return s.r.Read(b[:min(int64(len(b)), s.piece)])
}

// read wraps a call that is not sending: its signature, the account-wide limit, and its faults.
func (s *SES) read(at string, call http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, ok := s.readBody(w, r, at)
		if !ok {
			return
		}
		defer bodies.Put(body)
		if e, ok := s.verifier.check(r, body.Bytes(), time.Now()); !ok {
			fail(w, e)
			return
		}
		r.Body = io.NopCloser(body)
		if fault, struck := s.faults.strike(at, strikesAfterRead); struck && !s.suffer(w, r, fault) {
			return
		}
		if !s.cfg.NoCallLimit && !s.account.call(s.cfg.Clock(), apiRate) {
			fail(w, errRate)
			return
		}
		call(w, r)
	}
}

// suffer does what the fault does before anything is recorded. It returns true when the request goes on as usual.
func (s *SES) suffer(w http.ResponseWriter, r *http.Request, fault Fault) bool {
	if !pause(s.ctx, fault.Delay) {
		cut(w, false)
		return false
	}
	if e, ok := sesErrors[fault.Name]; ok {
		if fault.Text != "" {
			e.message = fault.Text
		}
		fail(w, e)
		return false
	}
	switch fault.Name {
	case FaultCutBeforeRecord:
		cut(w, false)
		return false
	case FaultHang:
		if !s.faults.hang(r.Context()) {
			cut(w, false) // the client has gone, or the endpoint closes: no handler may end in an empty 200
			return false
		}
		return true
	default:
		return true
	}
}

// conclude answers for a recorded mail as the fault wants it.
func (s *SES) conclude(w http.ResponseWriter, r *http.Request, fault Fault, id string) {
	switch fault.Name {
	case FaultCutAfterRecord:
		cut(w, false)
	case FaultResetAfterRecord:
		cut(w, true)
	case FaultErrorAfterRecord:
		fail(w, errInternal)
	case FaultGarbledAnswer:
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, `{"MessageId":`+id[:8])
	case FaultTruncatedAnswer:
		body := fmt.Sprintf(`{"MessageId":"%s"}`, id)
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		io.WriteString(w, body[:12]) // the server closes a connection whose answer fell short
	case FaultHangAfterRecord:
		if !s.faults.hang(r.Context()) {
			cut(w, false)
			return
		}
		answer(w, http.StatusOK, sendAnswer{id})
	default:
		answer(w, http.StatusOK, sendAnswer{id})
	}
}

// cut closes the connection under a request without an answer; with reset the client sees a TCP reset.
func cut(w http.ResponseWriter, reset bool) {
	hijacker, ok := w.(http.Hijacker)
	if !ok {
		panic(http.ErrAbortHandler)
	}
	conn, _, err := hijacker.Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	closeConn(conn, reset)
}

// closeConn closes a connection. Under TLS the TCP connection is closed without a close-notify: a cut is not a goodbye.
func closeConn(conn net.Conn, reset bool) {
	if wrapped, ok := conn.(interface{ NetConn() net.Conn }); ok {
		conn = wrapped.NetConn()
	}
	if tracked, ok := conn.(*trackedConn); ok && reset {
		tracked.reset()
		return
	}
	conn.Close()
}
