package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sesrelay/cmd/relay/internal/config"
	"sesrelay/internal/suppression"
)

// maxSinglePuts is how many addresses go without a bucket: one a second.
const maxSinglePuts = 1000

// suppressionCalls is how many calls a second an import makes. All calls but
// sending share one a second in an account; the relays ask for their quota
// twice a minute beside this.
const suppressionCalls = 0.9

func newSuppression(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "suppression",
		Short: "The suppression list of SES: import",
		Args:  cobra.ArbitraryArgs,
		RunE:  group,
	}
	cmd.AddCommand(newSuppressionImport(c))
	return cmd
}

// suppressionOptions are the flags of relay suppression import.
type suppressionOptions struct {
	file, config, region, bucket, prefix, state string
	format, column, reason                      string
	maxRefused, rate                            float64
	dryRun, keep, asJSON                        bool

	endpoint, configurationSet string // from the configuration
}

func newSuppressionImport(c *cli) *cobra.Command {
	const example = "relay suppression import bounced.csv --config relay.yaml --bucket goo-suppression-import"
	var o suppressionOptions
	cmd := &cobra.Command{
		Use:   "import FILE",
		Short: "Addresses that bounced at Cuenote into the suppression list of SES",
		Long: `import reads addresses from FILE (one a line, CSV, or JSON lines; UTF-8 or Shift_JIS) and puts them
into the account's suppression list in SES, so that mail to them does not bounce there. It writes
parts of 100,000 addresses to the bucket, starts an import job of SES for each, waits for it, and
removes the part. Without --bucket up to 1,000 addresses go one by one, one a second.

Interrupted, it goes on where it stopped: give the same command again. What is done stands in
FILE.import (--state). Nothing that it prints or stores there holds an address.

Needed in IAM: ses:GetAccount, ses:GetConfigurationSet, ses:CreateImportJob, ses:GetImportJob,
ses:PutSuppressedDestination, and s3:PutObject, s3:DeleteObject below the prefix of the bucket,
which SES itself must be allowed to read: see docs/operations.md.`,
		Example: "  " + example + " --dry-run",
		Args:    exactly(example, "FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.file = args[0]
			return o.run(cmd.Context(), c)
		},
	}
	f := cmd.Flags()
	f.StringVarP(&o.config, "config", "c", "", "the relay's configuration `file`, for region, endpoint and configuration set")
	f.StringVar(&o.region, "region", "", "AWS `region` (default that of --config, or ap-northeast-1)")
	f.StringVar(&o.bucket, "bucket", "", "`name` of the S3 bucket for the parts")
	f.StringVar(&o.prefix, "prefix", "suppression-import/", "`prefix` of the objects in the bucket")
	f.StringVar(&o.state, "state", "", "`file` that keeps what is done (default FILE.import)")
	f.StringVar(&o.format, "format", "auto", "auto, lines, csv or jsonl")
	f.StringVar(&o.column, "column", "", "`name` or number of the column that holds the addresses (default: found)")
	f.StringVar(&o.reason, "reason", "bounce", "bounce or complaint")
	f.Float64Var(&o.maxRefused, "max-refused", 5, "refuse the file when more than this `percent` of its lines hold no address")
	f.Float64Var(&o.rate, "rate", suppressionCalls, "`calls` of SES a second; an account has one, which the relays share")
	f.BoolVar(&o.dryRun, "dry-run", false, "read the file and say what would be done; ask nobody")
	f.BoolVar(&o.keep, "keep", false, "leave the parts in the bucket")
	f.BoolVar(&o.asJSON, "json", false, "write JSON")
	return cmd
}

// complete checks the flags and fills what they leave out.
func (o *suppressionOptions) complete() error {
	o.reason = strings.ToUpper(o.reason)
	if r := suppression.Reason(o.reason); r != suppression.Bounce && r != suppression.Complaint {
		return &usageError{text: "--reason is bounce or complaint"}
	}
	if !(o.rate > 0) {
		return &usageError{text: "--rate must be above 0"}
	}
	if o.state == "" {
		o.state = o.file + ".import"
	}
	if o.config != "" {
		cfg, _, err := config.Load(o.config)
		if err != nil {
			return err
		}
		o.endpoint, o.configurationSet = cfg.SES.Endpoint, cfg.SES.ConfigurationSet
		if o.region == "" {
			o.region = cfg.SES.Region
		}
	}
	if o.region == "" {
		o.region = "ap-northeast-1"
	}
	return nil
}

func (o *suppressionOptions) run(ctx context.Context, c *cli) error {
	if err := o.complete(); err != nil {
		return err
	}
	list, err := o.read()
	if err != nil {
		return err
	}
	report := o.report(list)
	if !o.asJSON {
		printSuppressionList(c, report)
	}
	if err := o.judge(list); err != nil || o.dryRun {
		return errors.Join(err, o.finish(c, report))
	}
	report.Result, err = o.send(ctx, c, list)
	if err != nil {
		err = fmt.Errorf("%w\n%d of %d addresses are in the suppression list. Give the same command again: it goes on from there (%s)",
			err, report.Result.Imported, report.Addresses, o.state)
	}
	return errors.Join(err, o.finish(c, report))
}

func (o *suppressionOptions) read() (*suppression.List, error) {
	f, err := os.Open(o.file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	list, err := suppression.Read(f, suppression.Options{Format: suppression.Format(o.format), Column: o.column})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", o.file, err)
	}
	return list, nil
}

// judge refuses a file that was probably misread, and what would take hours.
func (o *suppressionOptions) judge(l *suppression.List) error {
	all := len(l.Addresses) + l.Duplicates + len(l.Refused)
	if share := 100 * float64(len(l.Refused)) / float64(all); share > o.maxRefused {
		return fmt.Errorf("%.1f %% of the lines hold no address that SES could suppress, more than --max-refused %g: is it the right column? Nothing was sent", share, o.maxRefused)
	}
	if o.bucket == "" && len(l.Addresses) > maxSinglePuts && !o.dryRun {
		return fmt.Errorf("%s addresses need --bucket: one by one only %s are sent, one a second", count(float64(len(l.Addresses))), count(maxSinglePuts))
	}
	return nil
}

// send imports the list; the result is valid with an error, too.
func (o *suppressionOptions) send(ctx context.Context, c *cli, l *suppression.List) (suppression.Result, error) {
	none := suppression.Result{Parts: []suppression.Part{}}
	reason := suppression.Reason(o.reason)
	api, bucket, err := connectSuppression(ctx, o.region, o.endpoint, o.bucket, reason, o.rate)
	if err != nil {
		return none, err
	}
	if err := api.ready(ctx, o.configurationSet, o.bucket != ""); err != nil {
		return none, err
	}
	bar := newProgressBar(c)
	defer bar.end()
	i := &suppression.Import{Reason: reason, Region: o.region, Bucket: o.bucket, Prefix: o.prefix, State: o.state, Keep: o.keep,
		S3: bucket, SES: api, Poll: time.Duration(float64(time.Second) / o.rate), Progress: bar.show}
	return i.Run(ctx, l)
}

// suppressionReport is the stable output of relay suppression import --json.
type suppressionReport struct {
	File         string                `json:"file"`
	Format       string                `json:"format"`
	Encoding     string                `json:"encoding"`
	DryRun       bool                  `json:"dry_run"`
	Addresses    int                   `json:"addresses"` // distinct
	Duplicates   int                   `json:"duplicates"`
	Refused      int                   `json:"refused"`
	RefusedLines []suppression.Refusal `json:"refused_lines"` // the first hundred
	Jobs         int                   `json:"jobs_needed"`
	suppression.Result
}

func (o *suppressionOptions) report(l *suppression.List) suppressionReport {
	r := suppressionReport{File: o.file, Format: string(l.Format), Encoding: l.Encoding, DryRun: o.dryRun, Addresses: len(l.Addresses),
		Duplicates: l.Duplicates, Refused: len(l.Refused), RefusedLines: append([]suppression.Refusal{}, l.Refused[:min(100, len(l.Refused))]...),
		Result: suppression.Result{Parts: []suppression.Part{}}}
	if o.bucket != "" {
		r.Jobs = (len(l.Addresses) + suppression.PartSize - 1) / suppression.PartSize
	}
	return r
}

// shownRefusals is how many refused lines are named on the screen.
const shownRefusals = 10

func printSuppressionList(c *cli, r suppressionReport) {
	fmt.Fprintf(c.out, "%s: %s, %s\n", r.File, r.Format, r.Encoding)
	fmt.Fprintf(c.out, "  %s addresses, %s given twice, %s lines refused\n", count(float64(r.Addresses)), count(float64(r.Duplicates)), count(float64(r.Refused)))
	for _, f := range r.RefusedLines[:min(shownRefusals, len(r.RefusedLines))] {
		fmt.Fprintf(c.out, "  line %d: %s\n", f.Line, f.Why)
	}
	if more := r.Refused - shownRefusals; more > 0 {
		fmt.Fprintf(c.out, "  and %s more (--json names the first hundred)\n", count(float64(more)))
	}
}

// finish prints the end; addresses that SES has not taken make the command fail.
func (o *suppressionOptions) finish(c *cli, r suppressionReport) error {
	if o.asJSON {
		if err := json.NewEncoder(c.out).Encode(r); err != nil {
			return err
		}
	} else if o.dryRun {
		how := "one by one, one a second"
		if r.Jobs > 0 {
			how = fmt.Sprintf("in %d import job(s)", r.Jobs)
		}
		fmt.Fprintf(c.out, "dry run: %s addresses would be sent %s. Nothing was sent.\n", count(float64(r.Addresses)), how)
	} else if r.Imported+r.Failed == r.Addresses {
		fmt.Fprintf(c.out, "done: %s addresses are in the suppression list, %s were not taken\n", count(float64(r.Imported)), count(float64(r.Failed)))
	}
	if r.Failed == 0 {
		return nil
	}
	return fmt.Errorf("SES has not taken %d addresses; which ones: aws sesv2 get-import-job --job-id JOB (FailedRecordsS3Url); the jobs stand in %s", r.Failed, o.state)
}
