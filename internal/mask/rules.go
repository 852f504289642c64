package mask

// rule says how one field of an event is masked. The zero rule masks everything:
// it is what unknown fields get.
type rule struct {
	text   func(*event, string) string
	number bool // numbers may stay
	fields map[string]rule
	object func(*event, *node) // in place of fields
}

func fields(f map[string]rule) rule { return rule{fields: f} }

var (
	addressRule   = rule{text: (*event).addressList}
	ipRule        = rule{text: (*event).ip}
	diagnostic    = rule{text: (*event).diagnostic}
	timestamp     = rule{text: keepIf(isTimestamp)}
	identifier    = rule{text: keepIf(isIdentifier)}
	hostName      = rule{text: keepIf(isReportingMTA)}
	domainName    = rule{text: keepIf(isDomain)}
	label         = rule{text: keepIf(isLabel)}
	status        = rule{text: keepIf(isStatus)}
	account       = rule{text: keepIf(isAccount)}
	count         = rule{number: true}
	linkRule      = rule{text: (*event).link}
	eventType     = oneOf("Send", "Delivery", "Bounce", "Complaint", "Reject", "Open", "Click", "Rendering Failure", "DeliveryDelay", "Subscription")
	feedbackType  = oneOf("abuse", "auth-failure", "fraud", "not-spam", "other", "virus")
	bounceType    = oneOf("Undetermined", "Permanent", "Transient")
	bounceSubType = oneOf("Undetermined", "General", "NoEmail", "Suppressed", "OnAccountSuppressionList",
		"MailboxFull", "MessageTooLarge", "ContentRejected", "AttachmentRejected", "CustomTimeoutExceeded",
		"UnsubscribedRecipient", "EmailAddressSuppressed")
	delayType = oneOf("InternalFailure", "General", "MailboxFull", "SpamDetected", "RecipientServerError", "IPFailure",
		"TransientCommunicationFailure", "BYOIPHostNameLookupUnavailable", "Undetermined", "SendingDeferral", "MessageTooLarge")
	recipientAction = oneOf("failed", "delayed", "delivered", "relayed", "expanded") // RFC 3464 section 2.3.3
)

// eventRule is the closed list of what an event may show. Event contents: "Contents of
// event data that Amazon SES publishes", SES developer guide.
var eventRule = fields(map[string]rule{
	"eventType": eventType, "notificationType": eventType,
	"destination": addressRule, "sourceIp": ipRule, "recordId": identifier, // normalised at the top level
	"mail":          mailRule,
	"send":          {},
	"bounce":        bounceRule,
	"complaint":     complaintRule,
	"delivery":      deliveryRule,
	"deliveryDelay": delayRule,
	"reject":        fields(map[string]rule{"reason": oneOf("Bad content")}),
	"open":          fields(map[string]rule{"ipAddress": ipRule, "timestamp": timestamp, "userAgent": {}}),
	"click": fields(map[string]rule{
		"ipAddress": ipRule, "timestamp": timestamp, "userAgent": {}, "link": linkRule, "linkTags": {},
	}),
	"failure":      fields(map[string]rule{"templateName": {}, "errorMessage": {}}),
	"subscription": subscriptionRule,
})

var mailRule = fields(map[string]rule{
	"timestamp":        timestamp,
	"source":           addressRule,
	"sourceArn":        {text: (*event).arn},
	"sourceIp":         ipRule,
	"callerIdentity":   {},
	"sendingAccountId": account,
	"messageId":        identifier,
	"destination":      addressRule,
	"headersTruncated": {},
	"headers":          {object: (*event).header},
	"commonHeaders": fields(map[string]rule{
		"returnPath": addressRule, "from": addressRule, "sender": addressRule, "replyTo": addressRule,
		"to": addressRule, "cc": addressRule, "bcc": addressRule, "messageId": {text: (*event).messageID},
		"date": {text: keepIf(isDate)}, "subject": {},
	}),
	"tags": tagRule,
})

// tagRule: SES's own tags and the relay's step. The values of others are chosen
// by whoever sent the mail.
var tagRule = fields(map[string]rule{
	"ses:configuration-set": label, "ses:from-domain": domainName, "ses:source-ip": ipRule,
	"ses:outgoing-ip": ipRule, "ses:caller-identity": {}, "ses:recipient-isp": {},
	"ses:operation":          oneOf("SendEmail", "SendRawEmail", "SendTemplatedEmail", "SendBulkEmail", "SendBulkTemplatedEmail"),
	"ses:source-tls-version": oneOf("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"),
	"relay-step":             label,
})

var bounceRule = fields(map[string]rule{
	"bounceType": bounceType, "bounceSubType": bounceSubType,
	"bouncedRecipients": fields(map[string]rule{
		"emailAddress": addressRule, "action": recipientAction, "status": status, "diagnosticCode": diagnostic,
	}),
	"timestamp": timestamp, "feedbackId": identifier, "reportingMTA": hostName, "remoteMtaIp": ipRule,
})

var complaintRule = fields(map[string]rule{
	"complainedRecipients": fields(map[string]rule{"emailAddress": addressRule}),
	"timestamp":            timestamp, "arrivalDate": timestamp, "feedbackId": identifier, "userAgent": {},
	"complaintSubType": bounceSubType, "complaintFeedbackType": feedbackType,
})

var deliveryRule = fields(map[string]rule{
	"timestamp": timestamp, "processingTimeMillis": count, "recipients": addressRule,
	"smtpResponse": diagnostic, "reportingMTA": hostName, "remoteMtaIp": ipRule,
})

var delayRule = fields(map[string]rule{
	"timestamp": timestamp, "expirationTime": timestamp, "delayType": delayType, "reportingMTA": hostName,
	"delayedRecipients": fields(map[string]rule{"emailAddress": addressRule, "status": status, "diagnosticCode": diagnostic}),
})

var subscriptionRule = fields(map[string]rule{
	"contactList": label, "timestamp": timestamp, "source": oneOf("UnsubscribeHeader", "UnsubscribeLink"),
	"newTopicPreferences": topicsRule, "oldTopicPreferences": topicsRule,
})

var topicsRule = fields(map[string]rule{
	"unsubscribeAll": {},
	"topicSubscriptionStatus": fields(map[string]rule{
		"topicName": label, "subscriptionStatus": oneOf("OptIn", "OptOut"),
	}),
})

// headerRules are the header fields whose name may be shown, in lower case, and
// what of their value.
var headerRules = map[string]rule{
	"from": addressRule, "to": addressRule, "cc": addressRule, "bcc": addressRule, "sender": addressRule,
	"reply-to": addressRule, "return-path": addressRule, "errors-to": addressRule,
	"message-id": {text: (*event).messageID}, "in-reply-to": {}, "references": {}, "received": {}, "subject": {},
	"date":         {text: keepIf(isDate)},
	"mime-version": oneOf("1.0"), "content-transfer-encoding": oneOf("7bit", "8bit", "base64", "quoted-printable", "binary"),
	"content-type": {text: (*event).mediaType}, "x-ses-configuration-set": label,
	"list-unsubscribe": {}, "list-unsubscribe-post": {}, "list-id": {}, "dkim-signature": {}, "x-mailer": {},
	"precedence": oneOf("bulk", "list", "junk"), "auto-submitted": oneOf("no", "auto-generated", "auto-replied"),
}
