package main

import (
	"runtime"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// result is everything that a run found, as JSON and as the report's source.
type result struct {
	Scenario       string              `json:"scenario"`
	Title          string              `json:"title"`
	Started        time.Time           `json:"started"`
	Command        string              `json:"command"`
	Interrupted    string              `json:"interrupted,omitempty"` // why the run ended early
	Machine        machine             `json:"machine"`
	Settings       []setting           `json:"settings"`
	Seconds        float64             `json:"seconds"`   // from the first start to the last answer
	Warmup         float64             `json:"warmup"`    // of them, until the measured time
	Requested      float64             `json:"requested"` // mails/s, mean of the measured time
	Achieved       float64             `json:"achieved"`  // mails/s of the measured time that had their answer when it had been over for a second
	Mails          counts              `json:"mails"`
	Failures       map[string]*failure `json:"failures,omitempty"`
	Latency        times               `json:"latency_ms"` // from the scheduled start
	Service        times               `json:"service_ms"` // from the real start
	Lag            times               `json:"lag_ms"`     // between the two
	Added          times               `json:"added_ms"`   // by the relay, from its log: duration minus upstream
	Curves         []curve             `json:"curves"`
	Split          splitResult         `json:"split"`
	Anomalies      map[string]*failure `json:"anomalies,omitempty"` // that Cuenote saw, by kind
	TakenBack      int                 `json:"taken_back"`          // messages to Cuenote that the relay broke off
	UnknownEnds    int                 `json:"unknown_ends"`        // mails that an upstream may or may not have taken, by the relay's count
	SESErrors      map[string]float64  `json:"ses_errors"`          // that the relay counted, by class
	Reconciliation *reconciliation     `json:"reconciliation"`
	Processes      []processResult     `json:"processes"`
	PerInstance    []int               `json:"per_instance,omitempty"`   // transactions of each relay, when there are several
	RedisPerMail   float64             `json:"redis_per_mail,omitempty"` // commands that Redis processed for one mail, those inside scripts included
	OtherCores     float64             `json:"other_cores"`              // CPU that everything else on the machine used meanwhile
	Connections    int64               `json:"connections"`              // that the generator opened
	Stale          int64               `json:"stale"`                    // of those, found closed when they were to be used again
	Steps          []stepResult        `json:"steps,omitempty"`
	Changes        []changeResult      `json:"changes,omitempty"`
	Quota          *quotaResult        `json:"quota,omitempty"`
	Outage         *outageResult       `json:"outage,omitempty"`
	Knee           *kneeResult         `json:"knee,omitempty"`
	Fleet          *fleetResult        `json:"fleet,omitempty"`
	Drift          *driftResult        `json:"drift,omitempty"`
	Samples        []sample            `json:"samples"`
	Marks          []mark              `json:"marks,omitempty"`
	Thresholds     []verdict           `json:"thresholds"`
	Passed         bool                `json:"passed"`
}

// setting is one line of what was tested.
type setting struct{ Name, Value string }

// times are percentiles in milliseconds.
type times struct {
	Count int64   `json:"count"`
	Mean  float64 `json:"mean"`
	P50   float64 `json:"p50"`
	P90   float64 `json:"p90"`
	P99   float64 `json:"p99"`
	P999  float64 `json:"p99.9"`
	Max   float64 `json:"max"`
}

func timesOf(h *hdrhistogram.Histogram) times {
	if h.TotalCount() == 0 {
		return times{}
	}
	return times{h.TotalCount(), h.Mean() / 1000, quantile(h, 50), quantile(h, 90), quantile(h, 99), quantile(h, 99.9), float64(h.Max()) / 1000}
}

// curve is a distribution: milliseconds by percentile.
type curve struct {
	Name   string       `json:"name"`
	Points [][2]float64 `json:"points"` // percentile, ms
}

// percentiles of a curve are spaced so that each further nine is as long.
var percentiles = []float64{1, 10, 20, 30, 40, 50, 60, 70, 80, 85, 90, 92.5, 95, 97, 98, 99, 99.3, 99.5, 99.7, 99.8, 99.9, 99.95, 99.97, 99.99}

func curveOf(name string, h *hdrhistogram.Histogram) curve {
	c := curve{Name: name}
	for _, p := range percentiles {
		if h.TotalCount() > 0 && float64(h.TotalCount())*(100-p)/100 >= 3 {
			c.Points = append(c.Points, [2]float64{p, quantile(h, p)})
		}
	}
	return c
}

// splitResult is the share of SES over the whole run, in percent of mails.
type splitResult struct {
	Requested float64 `json:"requested"` // -1: it changed
	Effective float64 `json:"effective"` // by what arrived
	Off       float64 `json:"off"`       // between the two, in points
	SES       int64   `json:"ses"`
	Cuenote   int64   `json:"cuenote"`
}

// processResult is what a process cost.
type processResult struct {
	Name       string  `json:"name"`
	CPU        float64 `json:"cpu_seconds"`
	CPUPer1000 float64 `json:"cpu_seconds_per_1000"`
	Cores      float64 `json:"cores"`
	PeakMiB    float64 `json:"peak_rss_mib"`
}

// process finds a process by name; zeros when it was not measured.
func (r *result) process(name string) processResult {
	for _, p := range r.Processes {
		if p.Name == name {
			return p
		}
	}
	return processResult{Name: name}
}

// stepResult is one step of a schedule.
type stepResult struct {
	Rate     float64 `json:"rate"`
	Achieved float64 `json:"achieved"`
	Counts   counts  `json:"counts"`
	Latency  times   `json:"latency_ms"`
	Good     bool    `json:"good"`
}

// mark is something that happened at a time.
type mark struct {
	T    float64 `json:"t"` // seconds since the start
	Text string  `json:"text"`
}

// sample is one second of a run.
type sample struct {
	T            float64 `json:"t"` // seconds since the start, at the end of the second
	Requested    float64 `json:"requested"`
	Answered     float64 `json:"answered"` // per second
	Errors       float64 `json:"errors"`   // per second, dropped starts included
	InFlight     int     `json:"in_flight"`
	Waiting      int     `json:"waiting"`
	P50          float64 `json:"p50_ms"`
	P99          float64 `json:"p99_ms"`
	SES          float64 `json:"ses"`     // deliveries per second, by the sink
	Cuenote      float64 `json:"cuenote"` // the same
	RelayCPU     float64 `json:"relay_cores"`
	SinkCPU      float64 `json:"sink_cores"`
	GeneratorCPU float64 `json:"generator_cores"`
	RelayMiB     float64 `json:"relay_rss_mib"`
	SinkMiB      float64 `json:"sink_rss_mib"`
	GeneratorMiB float64 `json:"generator_rss_mib"`
}

// machine is where a run took place.
type machine struct {
	CPUs    int    `json:"cpus"`
	Model   string `json:"model"`
	Kernel  string `json:"kernel"`
	Go      string `json:"go"`
	LoadAvg string `json:"load_average"` // when the run began
}

func thisMachine() machine {
	return machine{runtime.NumCPU(), cpuModel(), firstLine("/proc/sys/kernel/osrelease"), runtime.Version(), loadAverage()}
}
