package main

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"sesrelay/internal/mask"
)

// secrets is what is used of Secrets Manager.
type secrets interface {
	GetSecretValue(context.Context, *secretsmanager.GetSecretValueInput, ...func(*secretsmanager.Options)) (*secretsmanager.GetSecretValueOutput, error)
}

// keyHolder reads the key of the pseudonyms once per container. It never falls
// back to a random key: pseudonyms would silently stop to agree.
type keyHolder struct {
	client secrets
	secret string
	mode   mask.Mode
	masker *mask.Masker
}

// keyTimeout bounds all tries to read the key, the SDK's repetitions included.
const keyTimeout = 15 * time.Second

// get returns the masker. An error is final for this invocation only.
func (k *keyHolder) get(ctx context.Context) (*mask.Masker, error) {
	if k.masker != nil {
		return k.masker, nil
	}
	ctx, cancel := context.WithTimeout(ctx, keyTimeout)
	defer cancel()
	out, err := k.client.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: aws.String(k.secret)})
	if err != nil {
		return nil, fmt.Errorf("key of the pseudonyms: %w", err)
	}
	key := []byte(aws.ToString(out.SecretString))
	if len(key) == 0 {
		key = out.SecretBinary
	}
	if len(key) == 0 {
		return nil, fmt.Errorf("key of the pseudonyms: secret %s is empty", k.secret)
	}
	masker, err := mask.New(k.mode, key)
	if err != nil {
		return nil, fmt.Errorf("key of the pseudonyms: %w", err)
	}
	k.masker = masker
	return masker, nil
}
