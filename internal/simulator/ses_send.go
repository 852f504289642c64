package simulator

import (
	"encoding/json"
	"net/http"
	"time"
)

// sendRequest is the body of SendEmail, as far as raw mail needs it.
type sendRequest struct {
	FromEmailAddress               string
	ReplyToAddresses               []string
	ConfigurationSetName           string
	FeedbackForwardingEmailAddress string
	EmailTags                      []struct{ Name, Value string }
	Destination                    *struct{ ToAddresses, CcAddresses, BccAddresses []string }
	Content                        *struct {
		Raw      *struct{ Data []byte }
		Simple   json.RawMessage
		Template json.RawMessage
	}
}

type sendAnswer struct{ MessageId string }

// recipients are those of the Destination, in order.
func (m *sendRequest) recipients() []string {
	if m.Destination == nil {
		return nil
	}
	d := m.Destination
	all := make([]string, 0, len(d.ToAddresses)+len(d.CcAddresses)+len(d.BccAddresses))
	return append(append(append(all, d.ToAddresses...), d.CcAddresses...), d.BccAddresses...)
}

// sendEmail is POST /v2/email/outbound-emails.
func (s *SES) sendEmail(w http.ResponseWriter, r *http.Request) {
	body, ok := s.readBody(w, r, AtSend)
	if !ok {
		return
	}
	e, ok := s.verifier.check(r, body.Bytes(), time.Now())
	var m sendRequest
	if ok {
		e, ok = parseSend(body.Bytes(), &m)
	}
	bodies.Put(body)
	if !ok {
		fail(w, e)
		return
	}
	to := m.recipients()
	fault, struck := s.faults.strike(AtSend, strikesAfterRead, to...)
	if struck && !s.suffer(w, r, fault) {
		return
	}
	if !pause(s.ctx, s.drawLatency()) { // a client that leaves meanwhile stops nothing, as at AWS
		cut(w, false)
		return
	}
	if e, ok := s.accept(&m, to); !ok {
		fail(w, e)
		return
	}
	id := s.messageID()
	s.record(r, &m, to, id, w.Header().Get("x-amzn-RequestId"))
	s.conclude(w, r, fault, id)
}

// accept judges a mail as SES does before it takes it, cheapest and most global reasons first; the quota is only
// spent on mail that is otherwise good.
func (s *SES) accept(m *sendRequest, to []string) (apiError, bool) {
	state := s.account.get()
	switch {
	case state.Suspended:
		return errSuspended, false
	case state.SendingPaused:
		return errPaused, false
	}
	if e, ok := checkRequest(m, to); !ok {
		return e, false
	}
	message, e, ok := checkMessage(m.Content.Raw.Data)
	if !ok {
		return e, false
	}
	if e, ok := s.checkConfigurationSets(state, m.ConfigurationSetName, message.configurationSet); !ok {
		return e, false
	}
	if e, ok := s.checkIdentities(state, m, message.senders, to); !ok {
		return e, false
	}
	return s.account.take(s.cfg.Clock(), len(to))
}

// record stores an accepted mail.
func (s *SES) record(r *http.Request, m *sendRequest, to []string, id, requestID string) {
	info := &SESInfo{
		FromEmailAddress: m.FromEmailAddress, ReplyToAddresses: m.ReplyToAddresses,
		ConfigurationSet: m.ConfigurationSetName, FeedbackAddress: m.FeedbackForwardingEmailAddress,
		ConfigurationSetHeader: headerValue(m.Content.Raw.Data, "X-SES-CONFIGURATION-SET"),
		ToAddresses:            m.Destination.ToAddresses, CcAddresses: m.Destination.CcAddresses, BccAddresses: m.Destination.BccAddresses,
		RequestID: requestID, UserAgent: r.UserAgent(),
	}
	if len(m.EmailTags) > 0 {
		info.Tags = make(map[string]string, len(m.EmailTags))
		for _, tag := range m.EmailTags {
			info.Tags[tag.Name] = tag.Value
		}
	}
	s.store.add(Record{ID: id, Time: s.cfg.Clock(), Upstream: UpstreamSES, To: to, SES: info}, m.Content.Raw.Data, true)
}

// messageID makes the next id in the shape of Tokyo's: 16 hex digits, a UUID, a counter.
func (s *SES) messageID() string {
	return "0106019a" + s.idPrefix + "-" + s.uuid(s.lastID.Add(1)) + "-000000"
}
