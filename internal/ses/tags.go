package ses

import (
	"strings"
)

// StepTag is the message tag that tells which step of the rollout sent a mail.
const StepTag = "relay-step"

const (
	maxTags    = 50  // in all; SES names no number for messages, this is the one for its resources
	maxTagText = 256 // characters of a name or a value ("MessageTag", SES API v2 reference)
)

// tag is one message tag of SES.
type tag struct{ name, value string }

// StepValue returns the value of the step tag for a step: characters that SES
// does not take become "_", as in "12_5" for 12.5 percent.
func StepValue(step string) string {
	value := strings.Map(func(r rune) rune {
		if isTagChar(r) {
			return r
		}
		return '_'
	}, step)
	return value[:min(len(value), maxTagText)]
}

// messageTags returns the tags of a mail: the step first, then what the client
// asked for, and how many of the client's had to be dropped.
func messageTags(step, client string) (tags []tag, dropped int) {
	if step != "" {
		tags = append(tags, tag{StepTag, StepValue(step)})
	}
	for rest := client; strings.TrimSpace(rest) != ""; {
		var pair string
		pair, rest, _ = strings.Cut(rest, ",")
		t, ok := parseTag(pair)
		if !ok || len(tags) == maxTags || has(tags, t.name) {
			dropped++
			continue
		}
		tags = append(tags, t)
	}
	return tags, dropped
}

// parseTag parses "name=value" of the X-SES-MESSAGE-TAGS field. The step's own
// name and those of SES are not the client's to give.
func parseTag(pair string) (tag, bool) {
	name, value, ok := strings.Cut(pair, "=")
	t := tag{strings.TrimSpace(name), strings.TrimSpace(value)}
	if !ok || !isTagText(t.name) || !isTagText(t.value) {
		return tag{}, false
	}
	return t, !strings.EqualFold(t.name, StepTag)
}

func has(tags []tag, name string) bool {
	for _, t := range tags {
		if t.name == name {
			return true
		}
	}
	return false
}

// isTagText reports whether SES takes s as a name or a value. A colon is not
// among the characters, which keeps "ses:" names out.
func isTagText(s string) bool {
	if s == "" || len(s) > maxTagText {
		return false
	}
	return strings.IndexFunc(s, func(r rune) bool { return !isTagChar(r) }) < 0
}

func isTagChar(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' || r == '-'
}
