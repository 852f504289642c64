package ses

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// credentialsError says that there were no credentials to sign with, so that
// nothing was sent. Its text comes from the provider and holds no secret.
type credentialsError struct{ err error }

func (e *credentialsError) Error() string { return "ses: no AWS credentials: " + e.err.Error() }
func (e *credentialsError) Unwrap() error { return e.err }

// credentialsCache keeps credentials until they expire, or until AWS says that
// they have.
type credentialsCache struct{ *aws.CredentialsCache }

func newCredentialsCache(p aws.CredentialsProvider) *credentialsCache {
	if c, ok := p.(*aws.CredentialsCache); ok {
		return &credentialsCache{c}
	}
	return &credentialsCache{aws.NewCredentialsCache(p)}
}

// Retrieve implements aws.CredentialsProvider.
func (c *credentialsCache) Retrieve(ctx context.Context) (aws.Credentials, error) {
	cred, err := c.CredentialsCache.Retrieve(ctx)
	if err != nil {
		return cred, &credentialsError{err}
	}
	return cred, nil
}
