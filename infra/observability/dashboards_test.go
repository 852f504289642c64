// The classic form of a dashboard is what every Grafana in use reads; the library
// calls it old because there is a newer one besides.
//
//lint:file-ignore SA1019 the classic form is meant

package observability

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/cog/variants"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/gauge"
	"github.com/grafana/grafana-foundation-sdk/go/prometheus"
	"github.com/grafana/grafana-foundation-sdk/go/stat"
	"github.com/grafana/grafana-foundation-sdk/go/statetimeline"
	"github.com/grafana/grafana-foundation-sdk/go/table"
	"github.com/grafana/grafana-foundation-sdk/go/timeseries"
)

// withoutSchema are panels whose options Grafana publishes no schema of.
var withoutSchema = []string{"alertlist"}

// TestDashboardsFitGrafana holds every dashboard against Grafana's own schemas
// of dashboards, panels and Prometheus queries: no field that it does not know,
// none of another type, none missing.
func TestDashboardsFitGrafana(t *testing.T) {
	t.Parallel()
	panels := map[string]variants.PanelcfgConfig{}
	for _, p := range []variants.PanelcfgConfig{gauge.VariantConfig(), stat.VariantConfig(), statetimeline.VariantConfig(), table.VariantConfig(), timeseries.VariantConfig()} {
		panels[p.Identifier] = p
		cog.NewRuntime().RegisterPanelcfgVariant(p)
	}
	cog.NewRuntime().RegisterDataqueryVariant(prometheus.VariantConfig())
	files, err := filepath.Glob("dashboards/*.json")
	if err != nil || len(files) < 5 {
		t.Fatalf("%v, %v", files, err)
	}
	seen := map[string]bool{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if wrong := misfits(text); wrong != "" {
			t.Errorf("%s:\n%s", file, wrong)
			continue
		}
		var d dashboard.Dashboard
		if err := json.Unmarshal(text, &d); err != nil {
			t.Fatal(err)
		}
		if err := d.Validate(); err != nil {
			t.Errorf("%s:\n%v", file, err)
		}
		for _, p := range d.Panels {
			switch {
			case p.Panel == nil:
				t.Errorf("%s: a panel is none", file)
			case panels[p.Panel.Type].Identifier == "" && !slices.Contains(withoutSchema, p.Panel.Type):
				t.Errorf("%s: a panel of type %q is not held against its schema", file, p.Panel.Type)
			default:
				seen[p.Panel.Type] = true
			}
		}
		// A field too many is noticed everywhere, or the schemas were not used.
		for name, change := range map[string]func(string) string{
			"query":     func(s string) string { return strings.Replace(s, `"expr":`, `"expression":1,"expr":`, 1) },
			"dashboard": func(s string) string { return strings.Replace(s, `"uid":`, `"uidd":1,"uid":`, 1) },
			"options":   func(s string) string { return strings.Replace(s, `"options": {`, `"options": {"colour": 1,`, 1) },
		} {
			changed := change(string(text))
			if !json.Valid([]byte(changed)) || changed == string(text) {
				t.Fatalf("%s: the test's own change of the %s", file, name)
			}
			if misfits([]byte(changed)) == "" {
				t.Errorf("%s: a field too many in the %s is not noticed", file, name)
			}
		}
	}
	if want := len(panels) + len(withoutSchema); len(seen) != want {
		t.Errorf("panels of types %v, want all %d", slices.Sorted(maps.Keys(seen)), want)
	}
}

// misfits is what of a dashboard does not fit. The library has an empty list of
// mistakes where nil is meant, and then leaves out panels that it has read.
func misfits(text []byte) string {
	if err := new(dashboard.Dashboard).UnmarshalJSONStrict(text); err != nil {
		return err.Error()
	}
	return ""
}
