package rollout

// Interval is where a true rate or percentile lies with 99 % confidence.
type Interval struct {
	Low  float64 `json:"low"`
	High float64 `json:"high"`
}

// Criterion is one thing that was looked at.
type Criterion struct {
	Name     Name      `json:"name"`
	Value    *float64  `json:"value"` // null: no figure
	Limit    float64   `json:"limit"`
	Unit     string    `json:"unit"`     // percent or seconds
	Interval *Interval `json:"interval"` // null: no figure, or no sample
	Verdict  Verdict   `json:"verdict"`
	Sample   int64     `json:"sample"` // messages behind the value
	Text     string    `json:"text"`   // the same in words and numbers

	past bool // the value itself has reached the limit
}

// Judgement is what a gate or a guard says of one window of figures.
type Judgement struct {
	Verdict  Verdict     `json:"verdict"`
	Criteria []Criterion `json:"criteria"`
	Reasons  []string    `json:"reasons"` // why it is not pass; empty when it is
}

// add takes a criterion in.
func (j *Judgement) add(c Criterion) {
	j.Criteria = append(j.Criteria, c)
	j.Verdict = j.Verdict.worse(c.Verdict)
	if c.Verdict != Pass {
		j.Reasons = append(j.Reasons, c.Text)
	}
}

// breached returns the names of the criteria that call for a rollback.
func (j *Judgement) breached() (names []Name) {
	for _, c := range j.Criteria {
		if c.Verdict == Rollback {
			names = append(names, c.Name)
		}
	}
	return names
}

// newJudgement is one that nothing speaks against yet.
func newJudgement() Judgement {
	return Judgement{Verdict: Pass, Criteria: []Criterion{}, Reasons: []string{}}
}
