package config

import "time"

// Rollout is the automatic sequence of steps.
type Rollout struct {
	Events     string `key:"events" enum:"none|cloudwatch" later:"what SES reports later is not read"`
	Steps      []Step `key:"steps" later:"change the split with relay split set"`
	Gate       Gate   `key:"gate" later:"change the split with relay split set"`
	RollbackTo string `key:"rollback_to" enum:"previous|zero" later:"change the split with relay split set"`
	Notify     Notify `key:"notify" later:"nobody is notified"`
	Guard      Guard  `key:"guard" later:"use relay brake, or alarms on the metrics"`
}

// Step is one step: either a percentage or a pause.
type Step struct {
	SetPercent *int          `key:"set_percent" form:"percent"` // hundredths
	Pause      time.Duration `key:"pause" min:"1s"`
}

// Gate is what must hold before the next step. Percentages are hundredths.
type Gate struct {
	SuccessMin int           `key:"success_min" form:"percent"`
	DelayMax   time.Duration `key:"delay_max" min:"1s"`
	BounceMax  int           `key:"bounce_max" form:"percent"`
}

// Notify says who is told about a rollback.
type Notify struct {
	Webhook  string `key:"webhook" form:"url" secret:"yes"`
	SNSTopic string `key:"sns_topic"`
}

// Guard puts the split back by itself. Percentages are hundredths.
type Guard struct {
	Enabled      bool          `key:"enabled" mayoff:"yes"`
	SuccessMin   int           `key:"success_min" form:"percent"`
	DelayMax     time.Duration `key:"delay_max" min:"1s"`
	BounceMax    int           `key:"bounce_max" form:"percent"`
	ComplaintMax int           `key:"complaint_max" form:"percent"`
	MinMessages  int           `key:"min_messages" min:"1"`
	Window       time.Duration `key:"window" min:"10s"`
	NoDataMax    time.Duration `key:"no_data_max" min:"10s"`
}
