package main

import "slices"

// plots are the charts of the report.
func (r *result) plots() []plot {
	list := []plot{r.ratePlot(), r.routePlot(), r.latencyPlot(), r.flightPlot(), r.cpuPlot(), r.costPlot(), r.memoryPlot()}
	for i := range list { // these are over time
		list[i].Shade, list[i].Marks, list[i].UnitX = r.Warmup, r.Marks, " s"
	}
	if r.Quota != nil {
		list = append(list, r.quotaPlot())
	}
	return slices.Insert(list, 3, r.curvePlot())
}

// over draws a value of every sample over time.
func (r *result) over(name, class string, of func(sample) float64) series {
	s := series{Name: name, Class: class}
	for _, v := range r.Samples {
		s.X, s.Y = append(s.X, v.T), append(s.Y, of(v))
	}
	return s
}

func (r *result) ratePlot() plot {
	requested := r.over("requested", "c-muted", func(s sample) float64 { return s.Requested })
	requested.Dashed = true
	return plot{Title: "Rate", Unit: "mails/s", Note: "Answers in each second against what was offered.", Series: []series{
		requested,
		r.over("answered", "c-main", func(s sample) float64 { return s.Answered }),
		r.over("not accepted", "c-bad", func(s sample) float64 { return s.Errors }),
	}}
}

func (r *result) routePlot() plot {
	return plot{Title: "Where it arrived", Unit: "mails/s", Stacked: true, Note: "Counted by the next hops, not by the relay.", Series: []series{
		r.over("SES", "c-ses", func(s sample) float64 { return s.SES }),
		r.over("Cuenote", "c-cuenote", func(s sample) float64 { return s.Cuenote }),
	}}
}

func (r *result) latencyPlot() plot {
	return plot{Title: "Latency over time", Unit: "ms", Log: true, Note: "From the scheduled start to the answer, the next hop's own time included.", Series: []series{
		r.over("p50", "c-main", func(s sample) float64 { return s.P50 }),
		r.over("p99", "c-bad", func(s sample) float64 { return s.P99 }),
	}}
}

func (r *result) curvePlot() plot {
	p := plot{Title: "Latency by percentile", Unit: "ms", Log: true, Note: "The lowest line is what the relay itself adds.",
		TicksX: map[float64]string{1: "0", 50: "50 %", 90: "90 %", 99: "99 %", 99.9: "99.9 %", 99.99: "99.99 %"}}
	classes := []string{"c-main", "c-muted", "c-ses"}
	for i, c := range r.Curves {
		s := series{Name: c.Name, Class: classes[i%len(classes)], Dashed: i == 1}
		for _, point := range c.Points {
			s.X, s.Y = append(s.X, nines(point[0])), append(s.Y, point[1])
		}
		p.Series = append(p.Series, s)
	}
	return p
}

func (r *result) cpuPlot() plot {
	return plot{Title: "CPU", Unit: "cores", Note: "Each process by itself.", Series: []series{
		r.over("relay", "c-main", func(s sample) float64 { return s.RelayCPU }),
		r.over("simulated next hops", "c-cuenote", func(s sample) float64 { return s.SinkCPU }),
		r.over("generator", "c-muted", func(s sample) float64 { return s.GeneratorCPU }),
	}}
}

func (r *result) flightPlot() plot {
	return plot{Title: "Mails in flight", Unit: "mails", Least: 10, Note: "With a client, and waiting for one because all were busy.", Series: []series{
		r.over("in flight", "c-main", func(s sample) float64 { return float64(s.InFlight) }),
		r.over("waiting", "c-bad", func(s sample) float64 { return float64(s.Waiting) }),
	}}
}

func (r *result) costPlot() plot {
	return plot{Title: "CPU of the relay per 1,000 mails", Unit: "s", Note: "A slope would mean that mails get dearer with time.", Series: []series{
		r.over("CPU s / 1,000", "c-main", func(s sample) float64 { return 1000 * s.RelayCPU / max(s.Answered, 1) * min(s.Answered, 1) }),
	}}
}

func (r *result) memoryPlot() plot {
	return plot{Title: "Memory", Unit: "MiB", Note: "Resident. The next hops keep a record of every mail.", Series: []series{
		r.over("relay", "c-main", func(s sample) float64 { return s.RelayMiB }),
		r.over("simulated next hops", "c-cuenote", func(s sample) float64 { return s.SinkMiB }),
		r.over("generator", "c-muted", func(s sample) float64 { return s.GeneratorMiB }),
	}}
}

// quotaPlot shows the simulator's own count against the rate.
func (r *result) quotaPlot() plot {
	accepted := series{Name: "accepted by SES", Class: "c-ses"}
	limit := series{Name: "MaxSendRate", Class: "c-bad", Dashed: true}
	start := r.Started.Unix()
	for at := range int64(r.Seconds) + 2 {
		accepted.X, accepted.Y = append(accepted.X, float64(at)), append(accepted.Y, float64(r.Quota.PerSecond[start+at]))
		limit.X, limit.Y = append(limit.X, float64(at)), append(limit.Y, r.Quota.Rate)
	}
	return plot{Title: "Use of the SES quota", Unit: "recipients/s", UnitX: " s", Note: "By second of the clock, counted by the simulated SES.", Series: []series{accepted, limit}}
}
