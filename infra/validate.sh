#!/usr/bin/env bash
# Validates the templates and the stacks' configuration (chapter 11 of the plan).
#
#   ./validate.sh             everything, with AWS's own validation (needs credentials)
#   ./validate.sh --offline   everything that needs no AWS
#
# Every mistake is shown; the exit code is 1 when there was one.
set -uo pipefail
cd "$(dirname "$0")" || exit 2
export UV_PYTHON_DOWNLOADS=never AWS_CLI_FILE_ENCODING=UTF-8
region=ap-northeast-1
templates=(base ses ses-dev enhanced-kinesis monitoring security network relay)
stacks=(base ses enhanced-kinesis monitoring security network relay)
failed=0

offline=no
case "${1-}" in
  "") ;;
  --offline) offline=yes ;;
  *) echo "usage: $0 [--offline]" >&2; exit 2 ;;
esac
command -v uv >/dev/null || { echo "uv is missing: pip install uv" >&2; exit 2; }

bad() { echo "  ERROR: $1"; failed=1; }

# S-107: another encoding is the usual reason for "Unable to load paramfile".
check_file() {
  LC_ALL=C grep -nP '[^\x00-\x7F]' "$1" && bad "$1 is not ASCII: save it as ASCII"
  grep -n $'\r' "$1" && bad "$1 has CR: save it with LF line ends"
  [ "$(wc -c <"$1")" -lt 51200 ] || bad "$1 has 51,200 bytes or more: CloudFormation takes it from S3 only"
}

# The AWS CLI where there is one, else the same call by the library that Sceptre brings.
aws_validate() {
  if command -v aws >/dev/null; then
    aws cloudformation validate-template --template-body "file://$1" --region "$region"
  else
    uv run --frozen -q python -c 'import boto3, sys
boto3.client("cloudformation", region_name=sys.argv[2]).validate_template(TemplateBody=open(sys.argv[1]).read())' "$1" "$region"
  fi
}

echo "== template validation: start"
for t in "${templates[@]}"; do
  file=templates/$t.yaml
  echo "validating $file"
  before=$failed
  failed=0
  check_file "$file"
  uv run --frozen -q --project tests cfn-lint --regions "$region" -- "$file" || bad "cfn-lint refuses $file"
  if [ "$offline" = no ] && ! aws_validate "$file" >/dev/null 2>&1; then
    bad "AWS refuses $file:"
    aws_validate "$file"    # again, so that the message is seen
  fi
  if [ "$failed" = 0 ]; then echo "  OK"; failed=$before; fi
done
echo "== template validation: end"

for env in prod dev; do
  echo "== sceptre $env: start"
  if ! out=$(uv run --frozen -q sceptre generate "$env" 2>&1); then
    bad "sceptre generate $env:"
    echo "$out"
  fi
  for s in "${stacks[@]}"; do
    [ "$offline" = no ] || break
    echo "validating $env/$s.yaml"
    if out=$(uv run --frozen -q sceptre validate "$env/$s.yaml" 2>&1); then
      echo "  OK"
    else
      bad "sceptre refuses $env/$s.yaml:"
      echo "$out"
    fi
  done
  echo "== sceptre $env: end"
done

[ "$failed" = 0 ] && echo "all valid" || echo "not valid: see ERROR above"
exit "$failed"
