package main

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// objects is what is used of S3.
type objects interface {
	PutObject(context.Context, *s3.PutObjectInput, ...func(*s3.Options)) (*s3.PutObjectOutput, error)
}

// errorBucket keeps what could not be masked or logged. It is encrypted, and
// Admin's only.
type errorBucket struct {
	client    objects
	name, key string // key: KMS key, empty for the bucket's default
	container string
	zone      *time.Location
	now       func() time.Time
	count     int
}

// failedRecord is a record that could not be masked, as it came.
type failedRecord struct {
	RecordID string `json:"recordId"`
	Stream   string `json:"stream"`
	Arrival  string `json:"arrival,omitempty"`
	Class    string `json:"errorClass"`
	Data     string `json:"data"` // as received, base64
}

// failedLine is a log line that was not, or perhaps not, written.
type failedLine struct {
	Group    string `json:"logGroup"`
	RecordID string `json:"recordId"`
	At       int64  `json:"timestamp"` // milliseconds since 1970, as PutLogEvents wants it
	Outcome  string `json:"outcome"`
	Reason   string `json:"reason"`
	Message  string `json:"message"`
}

func (b *errorBucket) keepRecords(ctx context.Context, records []failedRecord) error {
	return keep(ctx, b, "masking-failed", records)
}

func (b *errorBucket) keepLines(ctx context.Context, lines []failedLine) error {
	return keep(ctx, b, "logs-failed", lines)
}

// keep writes rows, one JSON object a line, into one object. The SDK repeats a
// failed call; with the same key that doubles nothing.
func keep[T any](ctx context.Context, b *errorBucket, prefix string, rows []T) error {
	if len(rows) == 0 {
		return nil
	}
	var body bytes.Buffer
	for _, row := range rows {
		body.Write(compact(row))
		body.WriteByte('\n')
	}
	b.count++
	now := b.now().In(b.zone)
	input := &s3.PutObjectInput{
		Bucket:      aws.String(b.name),
		Key:         aws.String(fmt.Sprintf("%s/%s%s-%s-%d.jsonl", prefix, now.Format("year=2006/month=01/day=02/"), now.Format("150405.000"), b.container, b.count)),
		Body:        bytes.NewReader(body.Bytes()),
		ContentType: aws.String("application/x-ndjson"),
	}
	if b.key != "" {
		input.ServerSideEncryption = types.ServerSideEncryptionAwsKms
		input.SSEKMSKeyId = aws.String(b.key)
	}
	if _, err := b.client.PutObject(ctx, input); err != nil {
		return fmt.Errorf("error bucket: put %s: %s", prefix, errorCode(err)) // the text may hold the key's name only, but the code is enough
	}
	return nil
}
