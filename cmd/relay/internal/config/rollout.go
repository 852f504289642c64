package config

import "time"

// Rollout is the automatic sequence of steps.
type Rollout struct {
	Events     string `key:"events" enum:"none|cloudwatch"`
	Steps      []Step `key:"steps" nonempty:"yes"`
	Gate       Gate   `key:"gate"`
	RollbackTo string `key:"rollback_to" enum:"previous|zero"`
	Notify     Notify `key:"notify"`
	Guard      Guard  `key:"guard"`
}

// Step is one step: either a percentage or a pause.
type Step struct {
	SetPercent *int          `key:"set_percent" form:"percent"` // hundredths
	Pause      time.Duration `key:"pause" min:"0s"`             // 0: until somebody promotes
}

// Gate is what must hold before the next step. Percentages are hundredths.
type Gate struct {
	SuccessMin int           `key:"success_min" form:"percent"`
	DelayMax   time.Duration `key:"delay_max" min:"1s"`
	BounceMax  int           `key:"bounce_max" form:"percent"`
}

// Notify says who is told of decisions.
type Notify struct {
	Webhook          string `key:"webhook" form:"url" secret:"yes"`
	SNSTopic         string `key:"sns_topic"`
	Grafana          string `key:"grafana" form:"url"`
	GrafanaTokenFile string `key:"grafana_token_file"`
}

// Guard puts the split back by itself. Percentages are hundredths.
type Guard struct {
	Enabled      bool          `key:"enabled"`
	SuccessMin   int           `key:"success_min" form:"percent"`
	DelayMax     time.Duration `key:"delay_max" min:"1s"`
	BounceMax    int           `key:"bounce_max" form:"percent"`
	ComplaintMax int           `key:"complaint_max" form:"percent"`
	MinMessages  int           `key:"min_messages" min:"1"`
	Window       time.Duration `key:"window" min:"10s"`
	NoDataMax    time.Duration `key:"no_data_max" min:"10s"`
}
