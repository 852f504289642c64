package rollout

// Event is what is told to people and to their tools.
type Event struct {
	Decision
	Instance string `json:"instance"`
}
