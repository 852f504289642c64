package config

import (
	"net/netip"
	"time"
)

// Config is the whole configuration. Tags describe a key: its name (key), how
// its text is read (form), the words it may be (enum) and its range (min, max).
type Config struct {
	Hostname   string     `key:"hostname" form:"hostname"` // "" = the machine's name, filled by Load
	Listeners  []Listener `key:"listeners" nonempty:"yes"`
	TLS        TLS        `key:"tls"`
	Access     Access     `key:"access"`
	Limits     Limits     `key:"limits"`
	Split      Split      `key:"split"`
	SES        SES        `key:"ses"`
	Cuenote    Cuenote    `key:"cuenote"`
	Quota      Quota      `key:"quota"`
	State      State      `key:"state"`
	Traffic    Traffic    `key:"traffic"`
	Breaker    Breaker    `key:"breaker"`
	Drain      Drain      `key:"drain"`
	Rollout    Rollout    `key:"rollout"`
	Admin      Admin      `key:"admin"`
	CloudWatch CloudWatch `key:"cloudwatch_metrics"`
	Log        Log        `key:"log"`
}

// Listener is one address on which mail is taken.
type Listener struct {
	Address           string         `key:"address" form:"address" required:"yes"`
	Protocol          string         `key:"protocol" enum:"smtp|lmtp"`
	TLS               string         `key:"tls" enum:"none|starttls|required|implicit"`
	ProxyProtocolFrom []netip.Prefix `key:"proxy_protocol_from"`
}

// TLS names the certificate of every listener that offers TLS.
type TLS struct {
	CertificateFile string `key:"certificate_file" form:"file"`
	KeyFile         string `key:"key_file" form:"file"`
}

// Access says who may relay.
type Access struct {
	Networks  []netip.Prefix `key:"networks"`
	UsersFile string         `key:"users_file" form:"file"`
}

// Limits bounds what clients can take. Sizes are bytes.
type Limits struct {
	MessageSize          int64 `key:"message_size" form:"size" min:"1KiB" max:"1GiB"`
	Recipients           int   `key:"recipients" min:"1" max:"1000"`
	Connections          int   `key:"connections" min:"1" max:"1000000"`
	ConnectionsPerClient int   `key:"connections_per_client" min:"1" max:"1000000"`
	Memory               int64 `key:"memory" form:"size" min:"1MiB" max:"1TiB"`
}

// Split is the division of the mail between SES and Cuenote.
type Split struct {
	SESPercent int    `key:"ses_percent" form:"percent"` // hundredths of a percent, 0 to 10000
	By         string `key:"by" enum:"message|recipient|recipient_domain|sender|sender_domain|client"`
	ClientFrom string `key:"client_from" enum:"address|helo|user"`
	Rehearse   bool   `key:"rehearse"`
	Rules      []Rule `key:"rules"`
}

// Rule sends matching mail one way. All conditions that are given must hold.
// Addresses and domains are patterns: example.jp is that domain alone,
// .example.jp every domain below it; user@ and *@example.jp are halves.
type Rule struct {
	Name            string `key:"name"`
	Sender          string `key:"sender" form:"mailboxes"`
	SenderDomain    string `key:"sender_domain" form:"domains"`
	Recipient       string `key:"recipient" form:"mailboxes"`
	RecipientDomain string `key:"recipient_domain" form:"domains"`
	Client          string `key:"client" form:"client"` // address, CIDR or EHLO name
	NullSender      bool   `key:"null_sender"`
	LargerThan      int64  `key:"larger_than" form:"size" min:"1"`
	Route           string `key:"route" enum:"ses|cuenote|split" required:"yes"`
	Percent         *int   `key:"percent" form:"percent"` // hundredths; nil = the live split
}

// SES is the upstream that is reached by the SES v2 API.
type SES struct {
	Region           string        `key:"region" form:"region"`
	Endpoint         string        `key:"endpoint" form:"url"`
	ConfigurationSet string        `key:"configuration_set" form:"configuration_set"`
	Identities       []string      `key:"identities" form:"domain"`
	KeepMessageTags  bool          `key:"keep_message_tags"`
	MaxInFlight      int           `key:"max_in_flight" min:"1" max:"100000"`
	MessageSize      int64         `key:"message_size" form:"size" min:"1KiB" max:"28MiB"`
	Timeout          time.Duration `key:"timeout" min:"1s" max:"90s"` // with the message's own time, the last call and LMTP's wait it stays below the ledger's claim of 150 s
	OnUnavailable    string        `key:"on_unavailable" enum:"cuenote|defer"`
	OnRejected       string        `key:"on_rejected" enum:"cuenote|reject"`
}

// Cuenote is the upstream that is reached by SMTP.
type Cuenote struct {
	Address       string        `key:"address" form:"address" required:"yes"`
	TLS           string        `key:"tls" enum:"none|opportunistic|starttls|implicit"`
	Username      string        `key:"username"`
	PasswordFile  string        `key:"password_file" form:"file"`
	CAFile        string        `key:"ca_file" form:"file"`
	ServerName    string        `key:"server_name" form:"hostname"`
	Connections   int           `key:"connections" min:"1" max:"100000"`
	Rate          float64       `key:"rate" min:"0" max:"1000000"` // messages per second; 0 = unlimited
	Timeout       time.Duration `key:"timeout" min:"1s" max:"118s"`
	OnUnavailable string        `key:"on_unavailable" enum:"defer|ses"`
}

// Quota is the SES sending quota, counted in recipients.
type Quota struct {
	Rate        float64       `key:"rate" form:"auto" min:"0.01" max:"1000000"` // per second; 0 = auto
	Daily       int64         `key:"daily" form:"auto" min:"1"`                 // per 24 hours; 0 = auto
	Headroom    float64       `key:"headroom" min:"0.01" max:"1"`
	MaxWait     time.Duration `key:"max_wait" min:"0s" max:"30s"`
	OnExhausted string        `key:"on_exhausted" enum:"cuenote|defer"`
}

// State says where shared and lasting state is kept.
type State struct {
	Redis      string        `key:"redis" form:"redis" secret:"yes"`
	Prefix     string        `key:"prefix" form:"prefix"`
	SecretFile string        `key:"secret_file" form:"file"`
	File       string        `key:"file" form:"file"`
	LedgerTTL  time.Duration `key:"ledger_ttl" min:"1m" max:"168h"`
}

// Traffic is the peak that "relay split plan" reckons with; 0 = as measured.
type Traffic struct {
	PeakPerMinute        int64   `key:"peak_per_minute" min:"0"`
	PerDay               int64   `key:"per_day" min:"0"`
	RecipientsPerMessage float64 `key:"recipients_per_message" min:"0" max:"1000"` // 0 = as measured
}

// Breaker opens the circuit of an upstream that does not work as a whole.
type Breaker struct {
	FailureRatio float64       `key:"failure_ratio" min:"0.01" max:"1"`
	MinRequests  int           `key:"min_requests" min:"1" max:"1000000"`
	OpenFor      time.Duration `key:"open_for" min:"100ms" max:"10m"`
}

// Drain is the end of an instance's life.
type Drain struct {
	Grace    time.Duration `key:"grace" min:"0s"`
	Deadline time.Duration `key:"deadline" min:"1s"`
}

// Admin is the HTTP API and the console.
type Admin struct {
	Address    string   `key:"address" form:"address" required:"yes"`
	Advertise  string   `key:"advertise" form:"url"` // base URL for the other instances; "" = derived
	TokensFile string   `key:"tokens_file" form:"file"`
	Networks   Networks `key:"networks"`
}

// Networks says from where each role may come.
type Networks struct {
	Admin      []netip.Prefix `key:"admin"`
	ReadOnly   []netip.Prefix `key:"readonly"`
	Monitoring []netip.Prefix `key:"monitoring"`
}

// CloudWatch writes metrics in CloudWatch's embedded metric format.
type CloudWatch struct {
	Enabled     bool   `key:"enabled"`
	Project     string `key:"project" form:"namespace" required:"yes"`
	Environment string `key:"environment" form:"namespace" required:"yes"`
}

// Log is the log on standard error.
type Log struct {
	Format        string `key:"format" enum:"json|text"`
	Level         string `key:"level" enum:"debug|info|warn|error"`
	Addresses     string `key:"addresses" enum:"masked|hashed|full"`
	KeyFile       string `key:"key_file" form:"file"`
	InfoPerSecond int    `key:"info_per_second" min:"0" max:"1000000"` // lines of one class; 0 = all
}
