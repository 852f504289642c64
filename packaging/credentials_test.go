package packaging

import (
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"

	"sesrelay/internal/simulator"
)

const accessKey, secretKey = "AKIDONPREMISES", "on-premises-secret"

// live is one line of relay check --live --json.
type live struct{ Level, Name, Detail string }

// checkLive asks a simulated SES, which verifies the signature, with the
// environment that the unit gives. dir is $CREDENTIALS_DIRECTORY.
func checkLive(t *testing.T, dir string, env ...string) []live {
	t.Helper()
	relay, _ := programs(t)
	ses, err := simulator.NewSES(simulator.SESConfig{Credentials: map[string]string{accessKey: secretKey}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ses.Close() })
	file := t.TempDir() + "/relay.yaml"
	write(t, file, "ses: {endpoint: \""+ses.URL()+"\", identities: [goo.ne.jp]}\nadmin: {address: \"127.0.0.1:0\"}\nlisteners: [{address: \"127.0.0.1:0\"}]\n", 0o644)
	cmd := exec.Command(relay, "check", "--config", file, "--live", "--json")
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=/nonexistent", "AWS_EC2_METADATA_DISABLED=true",
		"CREDENTIALS_DIRECTORY=" + dir, "AWS_SHARED_CREDENTIALS_FILE=" + dir + "/relay.aws-credentials"}, env...)
	out, _ := cmd.Output() // Cuenote is not there, so the exit code is 1
	var report struct{ Checks []live }
	if err := json.Unmarshal(out, &report); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return report.Checks
}

// account returns the line about the account, or the one that came instead.
func account(checks []live) live {
	for _, c := range checks {
		if strings.HasPrefix(strings.ToLower(c.Name), "ses") {
			return c
		}
	}
	return live{}
}

// The example for IAM Roles Anywhere works as it is shipped: the helper runs
// through sh, which puts the credential's directory in.
func TestCredentialsFromRolesAnywhere(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir+"/relay.aws-key", "the key\n", 0o400)
	helper := dir + "/aws_signing_helper"
	write(t, helper, `#!/bin/sh
[ "$1" = credential-process ] || exit 1
while [ $# -gt 1 ]; do
	case "$1" in
	--private-key) key=$2 ;;
	--certificate | --trust-anchor-arn | --profile-arn | --role-arn) seen=$seen$1 ;;
	esac
	shift
done
[ "$(cat "$key")" = "the key" ] || exit 1
[ "$seen" = "--certificate--trust-anchor-arn--profile-arn--role-arn" ] || exit 1
echo '{"Version":1,"AccessKeyId":"`+accessKey+`","SecretAccessKey":"`+secretKey+`","SessionToken":"token","Expiration":"2099-01-01T00:00:00Z"}'
`, 0o755)
	config := strings.ReplaceAll(read(t, "deb/aws.config"), "/usr/local/bin/aws_signing_helper", helper)
	write(t, dir+"/aws.config", config, 0o644)
	if got := account(checkLive(t, dir, "AWS_CONFIG_FILE="+dir+"/aws.config")); got.Level != "ok" {
		t.Errorf("%+v", got)
	}
}

func TestCredentialsFromKeyFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir+"/relay.aws-credentials", "[default]\naws_access_key_id = "+accessKey+"\naws_secret_access_key = "+secretKey+"\n", 0o400)
	if got := account(checkLive(t, dir, "AWS_CONFIG_FILE="+dir+"/missing")); got.Level != "ok" {
		t.Errorf("%+v", got)
	}
}

// With both, the key is taken and the helper not run.
func TestCredentialsFromBothTakeTheKey(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir+"/relay.aws-credentials", "[default]\naws_access_key_id = "+accessKey+"\naws_secret_access_key = "+secretKey+"\n", 0o400)
	write(t, dir+"/aws.config", "[default]\ncredential_process = touch "+dir+"/ran\n", 0o644)
	if got := account(checkLive(t, dir, "AWS_CONFIG_FILE="+dir+"/aws.config")); got.Level != "ok" {
		t.Errorf("%+v", got)
	}
	if _, err := os.Stat(dir + "/ran"); err == nil {
		t.Error("the helper was run")
	}
}

// A wrong key and no key at all are told apart from each other, and from success.
func TestCredentialsThatAreWrongOrMissing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	none := account(checkLive(t, dir, "AWS_CONFIG_FILE="+dir+"/missing"))
	if none.Level != "fail" || none.Name != "ses credentials" {
		t.Errorf("without any: %+v", none)
	}
	write(t, dir+"/relay.aws-credentials", "[default]\naws_access_key_id = "+accessKey+"\naws_secret_access_key = wrong\n", 0o400)
	if wrong := account(checkLive(t, dir, "AWS_CONFIG_FILE="+dir+"/missing")); wrong.Level != "fail" || wrong.Name == "ses credentials" {
		t.Errorf("with a wrong one: %+v", wrong)
	}
}
