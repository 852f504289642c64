package suppression

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// PartSize is the most that one import job takes (SES developer guide, "Adding
// email addresses in bulk to your account-level suppression list").
const PartSize = 100_000

// Reason is why an address is suppressed, in SES's words.
type Reason string

// The reasons that SES knows.
const (
	Bounce    Reason = "BOUNCE"
	Complaint Reason = "COMPLAINT"
)

// ErrBusy says that SES has too many unfinished jobs, or was asked too often:
// the same question has to be asked again later.
var ErrBusy = errors.New("SES is busy")

// Job is what SES says of an import job.
type Job struct {
	Ended     bool
	Failure   string // why a job failed as a whole; "" = it did not
	Processed int
	Failed    int // of Processed: not taken
}

// Bucket is where SES reads a part.
type Bucket interface {
	Put(ctx context.Context, key string, body []byte) error
	Delete(ctx context.Context, key string) error
}

// SES is what an import asks of SES. Each may return ErrBusy.
type SES interface {
	StartImport(ctx context.Context, url string) (job string, err error)
	ImportJob(ctx context.Context, job string) (Job, error)
	Suppress(ctx context.Context, address string, reason Reason) error
}

// Import is one list on its way into the suppression list. Run may be called
// again after an error, also by another process: it goes on where the state
// file says.
type Import struct {
	Reason Reason
	Region string
	Bucket string // name of the bucket; "" = one call for each address, a second each
	Prefix string // of the objects
	State  string // path of the state file
	Keep   bool   // leave the objects in the bucket
	Part   int    // addresses of one job; 0 = PartSize

	S3       Bucket // nil without a bucket
	SES      SES
	Poll     time.Duration             // first pause between questions about one job; it doubles up to maxPauses of them; 0 = 1 s
	Progress func(done, all int)       // addresses; nil = nobody is told
	Wait     func(time.Duration) error // nil = sleep; for tests

	list  *List
	state state
}

// maxPauses is the longest pause between two questions, in first ones.
const maxPauses = 10

// Result is what an import has done so far.
type Result struct {
	Imported int    `json:"imported"` // addresses that SES has taken
	Failed   int    `json:"failed"`   // addresses that SES has not taken
	Parts    []Part `json:"jobs"`
}

// Run imports the list. On an error the result says how far it came.
func (i *Import) Run(ctx context.Context, l *List) (Result, error) {
	i.list = l
	var err error
	if i.state, err = load(i.State, i.begin()); err != nil {
		return Result{Parts: []Part{}}, err
	}
	if err = i.save(); err == nil { // before the first call: a folder that cannot be written shows now
		if i.Bucket == "" {
			err = i.putAll(ctx)
		} else {
			err = i.importAll(ctx)
		}
	}
	return i.result(), err
}

// begin is the state of an import of which nothing is done.
func (i *Import) begin() state {
	s := state{Format: stateFormat, List: i.list.digest(), Reason: i.Reason, Bucket: i.Bucket, Region: i.Region}
	if i.Bucket == "" {
		return s
	}
	size := i.Part
	if size == 0 {
		size = PartSize
	}
	for first := 0; first < len(i.list.Addresses); first += size {
		n := min(size, len(i.list.Addresses)-first)
		key := fmt.Sprintf("%s%s-%03d.json", i.Prefix, s.List[:12], len(s.Parts)+1)
		s.Parts = append(s.Parts, Part{Key: key, Addresses: n, Step: stepNew})
	}
	return s
}

func (i *Import) result() Result {
	r := Result{Imported: i.state.Put, Parts: append([]Part{}, i.state.Parts...)}
	for _, p := range r.Parts {
		if p.Step == stepDone {
			r.Imported += p.Addresses - p.Failed
			r.Failed += p.Failed
		}
	}
	return r
}

func (i *Import) save() error {
	if err := i.state.save(i.State); err != nil {
		return fmt.Errorf("the state of the import cannot be written: %w", err)
	}
	return nil
}

// importAll takes the parts one after the other: SES works at one job at a
// time anyway, and one that fails stops the rest.
func (i *Import) importAll(ctx context.Context) error {
	first := 0
	for n := range i.state.Parts {
		part := &i.state.Parts[n]
		addresses := i.list.Addresses[first : first+part.Addresses]
		if err := i.importPart(ctx, part, addresses, first); err != nil {
			return fmt.Errorf("part %d of %d: %w", n+1, len(i.state.Parts), err)
		}
		first += part.Addresses
		i.tell(first)
	}
	return nil
}

// importPart goes from the step where the part is to the end. A crash between
// SES's answer and the state file starts the same job twice, which SES takes
// as the same addresses again.
func (i *Import) importPart(ctx context.Context, p *Part, addresses []string, before int) error {
	if p.Step == stepNew {
		if err := i.S3.Put(ctx, p.Key, i.encode(addresses)); err != nil {
			return err
		}
		if err := i.advance(p, stepUploaded); err != nil {
			return err
		}
	}
	if p.Step == stepUploaded {
		job, err := patient(ctx, i, func() (string, error) { return i.SES.StartImport(ctx, "s3://"+i.Bucket+"/"+p.Key) })
		if err != nil {
			return err
		}
		p.Job = job
		if err := i.advance(p, stepStarted); err != nil {
			return err
		}
	}
	if p.Step == stepStarted {
		return i.await(ctx, p, before)
	}
	return nil
}

func (i *Import) advance(p *Part, step string) error {
	p.Step = step
	return i.save()
}

// await asks until the job has ended. A job that failed as a whole is begun
// anew by the next Run, upload included: the object may be the fault.
func (i *Import) await(ctx context.Context, p *Part, before int) error {
	for asked := 0; ; asked++ {
		job, err := patient(ctx, i, func() (Job, error) { return i.SES.ImportJob(ctx, p.Job) })
		if err != nil {
			return err
		}
		p.Processed, p.Failed = job.Processed, job.Failed
		i.tell(before + min(job.Processed, p.Addresses))
		switch {
		case job.Failure != "":
			id := p.Job
			p.Job, p.Processed, p.Failed = "", 0, 0
			return errors.Join(fmt.Errorf("the import job %s failed: %s", id, job.Failure), i.advance(p, stepNew))
		case job.Ended:
			return i.finish(ctx, p)
		}
		if err := i.pause(ctx, asked); err != nil {
			return err
		}
	}
}

// finish removes the object, which holds personal data, before the part counts
// as done: so a removal that fails is tried again.
func (i *Import) finish(ctx context.Context, p *Part) error {
	if !i.Keep {
		if err := i.S3.Delete(ctx, p.Key); err != nil {
			return fmt.Errorf("the job is done, its object still holds addresses: %w", err)
		}
	}
	return i.advance(p, stepDone)
}

// putAll makes one call for each address.
func (i *Import) putAll(ctx context.Context) error {
	for i.state.Put < len(i.list.Addresses) {
		address := i.list.Addresses[i.state.Put]
		_, err := patient(ctx, i, func() (struct{}, error) { return struct{}{}, i.SES.Suppress(ctx, address, i.Reason) })
		if err != nil {
			return fmt.Errorf("address %d of %d: %w", i.state.Put+1, len(i.list.Addresses), err)
		}
		i.state.Put++
		if err := i.save(); err != nil {
			return err
		}
		i.tell(i.state.Put)
	}
	return nil
}

// encode writes the form that CreateImportJob reads as JSON: an object a line.
func (i *Import) encode(addresses []string) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	for _, a := range addresses {
		enc.Encode(struct { // a buffer cannot fail
			Address string `json:"emailAddress"`
			Reason  Reason `json:"reason"`
		}{a, i.Reason})
	}
	return b.Bytes()
}

func (i *Import) tell(done int) {
	if i.Progress != nil {
		i.Progress(done, len(i.list.Addresses))
	}
}

// patient asks again while SES is busy.
func patient[T any](ctx context.Context, i *Import, ask func() (T, error)) (T, error) {
	for asked := 0; ; asked++ {
		out, err := ask()
		if !errors.Is(err, ErrBusy) {
			return out, err
		}
		if err := i.pause(ctx, asked); err != nil {
			return out, err
		}
	}
}

func (i *Import) pause(ctx context.Context, asked int) error {
	wait := i.Poll
	if wait == 0 {
		wait = time.Second
	}
	wait *= time.Duration(min(1<<min(asked, 10), maxPauses))
	if i.Wait != nil {
		return i.Wait(wait)
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(wait):
		return nil
	}
}
