package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/aws-sdk-go-v2/service/sesv2"
	"github.com/aws/aws-sdk-go-v2/service/sesv2/types"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/logging"
	"golang.org/x/time/rate"

	"sesrelay/internal/suppression"
)

// suppressionAPI is the suppression list of an account in AWS.
type suppressionAPI struct {
	ses    *sesv2.Client
	turns  *rate.Limiter
	reason suppression.Reason
}

// suppressionBucket is where SES reads the parts.
type suppressionBucket struct {
	s3     *s3.Client
	bucket string
}

// connectSuppression makes both clients. endpoint is ses.endpoint; S3 takes
// AWS_ENDPOINT_URL_S3, as every client of AWS does.
func connectSuppression(ctx context.Context, region, endpoint, bucket string, reason suppression.Reason, calls float64) (*suppressionAPI, *suppressionBucket, error) {
	sdk, err := awsconfig.LoadDefaultConfig(ctx, awsconfig.WithRegion(region), awsconfig.WithLogger(logging.Nop{}))
	if err != nil {
		return nil, nil, err
	}
	if _, err := sdk.Credentials.Retrieve(ctx); err != nil {
		return nil, nil, fmt.Errorf("no credentials of AWS: %w (see: aws sts get-caller-identity)", err)
	}
	api := &suppressionAPI{turns: rate.NewLimiter(rate.Limit(calls), 1), reason: reason}
	api.ses = sesv2.NewFromConfig(sdk, func(o *sesv2.Options) {
		o.Retryer = aws.NopRetryer{} // ErrBusy is asked again at the import's own pace
		if endpoint != "" {
			o.BaseEndpoint = &endpoint
		}
	})
	ownS3 := os.Getenv("AWS_ENDPOINT_URL_S3") + os.Getenv("AWS_ENDPOINT_URL")
	return api, &suppressionBucket{bucket: bucket, s3: s3.NewFromConfig(sdk, func(o *s3.Options) { o.UsePathStyle = ownS3 != "" })}, nil
}

// ready refuses an import that would change nothing or that SES would refuse.
// configurationSet may be "": then only the account is asked.
func (a *suppressionAPI) ready(ctx context.Context, configurationSet string, byJob bool) error {
	if err := a.turns.Wait(ctx); err != nil {
		return err
	}
	account, err := a.ses.GetAccount(ctx, &sesv2.GetAccountInput{})
	if err != nil {
		return fmt.Errorf("GetAccount: %w", err)
	}
	if byJob && !account.ProductionAccessEnabled {
		return errors.New("the account is in the SES sandbox, where import jobs are refused: ask for production access first")
	}
	where, fix := "the account", "aws sesv2 put-account-suppression-attributes --suppressed-reasons BOUNCE COMPLAINT"
	var reasons []types.SuppressionListReason
	if account.SuppressionAttributes == nil {
		return nil // a stand-in that does not say
	}
	reasons = account.SuppressionAttributes.SuppressedReasons
	if configurationSet != "" {
		if err := a.turns.Wait(ctx); err != nil {
			return err
		}
		set, err := a.ses.GetConfigurationSet(ctx, &sesv2.GetConfigurationSetInput{ConfigurationSetName: &configurationSet})
		if err != nil {
			return fmt.Errorf("GetConfigurationSet: %w", err)
		}
		if set.SuppressionOptions != nil { // stands above the account's
			reasons, where = set.SuppressionOptions.SuppressedReasons, "the configuration set "+configurationSet
			fix = "aws sesv2 put-configuration-set-suppression-options --configuration-set-name " + configurationSet + " --suppressed-reasons BOUNCE COMPLAINT"
		}
	}
	if !slices.Contains(reasons, types.SuppressionListReason(a.reason)) {
		return fmt.Errorf("%s does not suppress for the reason %s, so the import would stop no mail: %s", where, a.reason, fix)
	}
	return nil
}

// StartImport implements suppression.SES.
func (a *suppressionAPI) StartImport(ctx context.Context, url string) (string, error) {
	if err := a.turns.Wait(ctx); err != nil {
		return "", err
	}
	out, err := a.ses.CreateImportJob(ctx, &sesv2.CreateImportJobInput{
		ImportDataSource:  &types.ImportDataSource{DataFormat: types.DataFormatJson, S3Url: &url},
		ImportDestination: &types.ImportDestination{SuppressionListDestination: &types.SuppressionListDestination{SuppressionListImportAction: types.SuppressionListImportActionPut}},
	})
	if err != nil {
		return "", fmt.Errorf("CreateImportJob: %w", busy(err))
	}
	return aws.ToString(out.JobId), nil
}

// ImportJob implements suppression.SES.
func (a *suppressionAPI) ImportJob(ctx context.Context, job string) (suppression.Job, error) {
	if err := a.turns.Wait(ctx); err != nil {
		return suppression.Job{}, err
	}
	out, err := a.ses.GetImportJob(ctx, &sesv2.GetImportJobInput{JobId: &job})
	if err != nil {
		return suppression.Job{}, fmt.Errorf("GetImportJob %s: %w", job, busy(err))
	}
	j := suppression.Job{Ended: out.JobStatus == types.JobStatusCompleted,
		Processed: int(aws.ToInt32(out.ProcessedRecordsCount)), Failed: int(aws.ToInt32(out.FailedRecordsCount))}
	if out.JobStatus == types.JobStatusFailed {
		j.Failure = "SES gives no reason"
		if out.FailureInfo != nil && aws.ToString(out.FailureInfo.ErrorMessage) != "" {
			j.Failure = printable(*out.FailureInfo.ErrorMessage)
		}
	}
	return j, nil
}

// Suppress implements suppression.SES.
func (a *suppressionAPI) Suppress(ctx context.Context, address string, reason suppression.Reason) error {
	if err := a.turns.Wait(ctx); err != nil {
		return err
	}
	_, err := a.ses.PutSuppressedDestination(ctx, &sesv2.PutSuppressedDestinationInput{EmailAddress: &address, Reason: types.SuppressionListReason(reason)})
	if err == nil {
		return nil
	}
	if code := smithyCode(err); code == "BadRequestException" { // its text repeats the address
		return errors.New("PutSuppressedDestination: " + code)
	}
	return fmt.Errorf("PutSuppressedDestination: %w", busy(err))
}

// busy marks the answers that mean "later".
func busy(err error) error {
	switch smithyCode(err) {
	case "TooManyRequestsException", "LimitExceededException", "ThrottlingException":
		return fmt.Errorf("%w (%w)", suppression.ErrBusy, err)
	}
	return err
}

func smithyCode(err error) string {
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		return api.ErrorCode()
	}
	return ""
}

// Put implements suppression.Bucket. SSE-S3, because SES cannot read what AWS's
// own KMS key has encrypted.
func (b *suppressionBucket) Put(ctx context.Context, key string, body []byte) error {
	_, err := b.s3.PutObject(ctx, &s3.PutObjectInput{Bucket: &b.bucket, Key: &key, Body: bytes.NewReader(body),
		ServerSideEncryption: s3types.ServerSideEncryptionAes256, ContentType: aws.String("application/x-ndjson")})
	if err != nil {
		return fmt.Errorf("writing s3://%s/%s: %w", b.bucket, key, err)
	}
	return nil
}

// Delete implements suppression.Bucket.
func (b *suppressionBucket) Delete(ctx context.Context, key string) error {
	if _, err := b.s3.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &b.bucket, Key: &key}); err != nil {
		return fmt.Errorf("removing s3://%s/%s: %w", b.bucket, key, err)
	}
	return nil
}
