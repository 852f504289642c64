package main

import (
	"errors"
	"fmt"
	"time"

	"sesrelay/internal/mask"
)

// settings are the function's environment; README.md describes each.
type settings struct {
	eventGroup, rawGroup, maskedGroup string // empty: not written
	errorBucket, errorKey             string
	keySecret                         string
	mode                              mask.Mode
	namespace, function               string
	zone                              *time.Location
}

// readSettings reports every mistake at once.
func readSettings(env func(string) string) (settings, error) {
	s := settings{
		eventGroup: env("EVENT_LOG_GROUP"), rawGroup: env("RAW_LOG_GROUP"), maskedGroup: env("MASKED_LOG_GROUP"),
		errorBucket: env("ERROR_BUCKET"), errorKey: env("ERROR_KMS_KEY"), keySecret: env("MASK_KEY_SECRET"),
		namespace: env("METRICS_NAMESPACE"), function: env("AWS_LAMBDA_FUNCTION_NAME"),
	}
	var mistakes []error
	if s.errorBucket == "" {
		mistakes = append(mistakes, errors.New("ERROR_BUCKET is empty: name the bucket for records that cannot be masked"))
	}
	if s.keySecret == "" {
		mistakes = append(mistakes, errors.New("MASK_KEY_SECRET is empty: name the secret that holds the key of the pseudonyms"))
	}
	if s.maskedGroup != "" && (s.maskedGroup == s.eventGroup || s.maskedGroup == s.rawGroup) {
		mistakes = append(mistakes, fmt.Errorf("MASKED_LOG_GROUP %s is also a group of readable events", s.maskedGroup))
	}
	var err error
	if addresses := env("ADDRESSES"); addresses != "" {
		if s.mode, err = mask.ParseMode(addresses); err != nil || s.mode == mask.Full {
			mistakes = append(mistakes, fmt.Errorf("ADDRESSES is %q: use masked or hashed", addresses))
		}
	}
	zone := env("TIME_ZONE")
	if zone == "" {
		zone = "Asia/Tokyo"
	}
	if s.zone, err = time.LoadLocation(zone); err != nil {
		mistakes = append(mistakes, fmt.Errorf("TIME_ZONE: %w", err))
	}
	return s, errors.Join(mistakes...)
}
