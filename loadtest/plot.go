package main

import (
	"fmt"
	"html/template"
	"math"
	"strings"
)

// series is one line or band of a plot. Class names its colour in report.css.
type series struct {
	Name, Class string
	X, Y        []float64
	Dashed      bool
}

// plot is a chart, drawn as SVG.
type plot struct {
	Title, Note, Unit string
	Series            []series
	Stacked           bool // bands on top of each other, in order; dashed series stay lines
	Log               bool // Y grows by factors
	Least             float64
	Marks             []mark
	Shade             float64            // X up to which the ground is shaded: warm-up
	TicksX            map[float64]string // instead of even ones
	UnitX             string
}

// Size of the drawing, and its margins, in SVG units.
const (
	plotWidth, plotHeight              = 720.0, 240.0
	marginLeft, marginTop, marginRight = 52.0, 26.0, 12.0
	marginBottom                       = 28.0
	innerWidth, innerHeight            = plotWidth - marginLeft - marginRight, plotHeight - marginTop - marginBottom
)

// scale maps values to the drawing.
type scale struct {
	minX, maxX, minY, maxY float64
	log                    bool
}

func (s scale) x(v float64) float64 { return marginLeft + innerWidth*(v-s.minX)/(s.maxX-s.minX) }

func (s scale) y(v float64) float64 {
	low, high := s.minY, s.maxY
	if s.log {
		v, low, high = math.Log10(max(v, s.minY)), math.Log10(low), math.Log10(high)
	}
	return marginTop + innerHeight*(1-(min(v, high)-low)/(high-low))
}

// SVG draws the plot.
func (p plot) SVG() template.HTML {
	p.Series = p.stack()
	sc := p.scale()
	var b strings.Builder
	fmt.Fprintf(&b, `<svg viewBox="0 0 %g %g" role="img" aria-label="%s">`, plotWidth, plotHeight, template.HTMLEscapeString(p.Title))
	if p.Shade > sc.minX {
		fmt.Fprintf(&b, `<rect class="shade" x="%g" y="%g" width="%.1f" height="%g"/>`, marginLeft, marginTop, sc.x(p.Shade)-marginLeft, innerHeight)
	}
	p.axes(&b, sc)
	for i := len(p.Series) - 1; i >= 0; i-- { // the lower bands of a stack lie over the higher ones
		p.Series[i].draw(&b, sc, p.Stacked)
	}
	p.marks(&b, sc)
	b.WriteString(`</svg>`)
	return template.HTML(b.String())
}

// stack adds each band's values to those of the bands before it.
func (p plot) stack() []series {
	if !p.Stacked {
		return p.Series
	}
	var sum []float64
	out := make([]series, len(p.Series))
	for i, s := range p.Series {
		out[i] = s
		if s.Dashed {
			continue
		}
		y := append([]float64(nil), s.Y...)
		for k := range y {
			if k < len(sum) {
				y[k] += sum[k]
			}
		}
		out[i].Y, sum = y, y
	}
	return out
}

// scale covers every value, up to a round number.
func (p plot) scale() scale {
	sc := scale{minX: math.Inf(1), maxX: math.Inf(-1), maxY: p.Least, log: p.Log}
	smallest := math.Inf(1)
	for _, s := range p.Series {
		for i := range s.X {
			sc.minX, sc.maxX, sc.maxY = min(sc.minX, s.X[i]), max(sc.maxX, s.X[i]), max(sc.maxY, s.Y[i])
			if s.Y[i] > 0 {
				smallest = min(smallest, s.Y[i])
			}
		}
	}
	if !(sc.maxX > sc.minX) { // nothing, or one point
		sc.minX, sc.maxX = min(sc.minX, 0), max(sc.maxX, 1)
	}
	if math.IsInf(sc.minX, 0) {
		sc.minX = 0
	}
	if p.Log {
		sc.minY = math.Pow(10, math.Floor(math.Log10(min(max(smallest, 0.001), 1))))
		sc.maxY = math.Pow(10, math.Ceil(math.Log10(max(sc.maxY, 10*sc.minY))))
		return sc
	}
	sc.maxY = roundUp(max(sc.maxY*1.05, 1e-9))
	return sc
}

// roundUp is the next of 1, 2, 2.5, 5 x 10^n.
func roundUp(v float64) float64 {
	unit := math.Pow(10, math.Floor(math.Log10(v)))
	for _, m := range []float64{1, 1.5, 2, 2.5, 3, 4, 5, 6, 8} {
		if v <= m*unit*(1+1e-9) {
			return m * unit
		}
	}
	return 10 * unit
}

// axes draws grid and labels.
func (p plot) axes(b *strings.Builder, sc scale) {
	for _, v := range p.ticksY(sc) {
		y := sc.y(v)
		fmt.Fprintf(b, `<line class="grid" x1="%g" x2="%g" y1="%.1f" y2="%.1f"/><text class="tick" x="%g" y="%.1f" text-anchor="end">%s</text>`,
			marginLeft, plotWidth-marginRight, y, y, marginLeft-6, y+4, tickText(v))
	}
	fmt.Fprintf(b, `<text class="tick" x="%g" y="12">%s</text>`, 2.0, template.HTMLEscapeString(p.Unit))
	for v, text := range p.ticksX(sc) {
		fmt.Fprintf(b, `<text class="tick" x="%.1f" y="%g" text-anchor="middle">%s</text>`, sc.x(v), plotHeight-9, text)
	}
}

func (p plot) ticksY(sc scale) (list []float64) {
	if p.Log {
		for v := sc.minY; v <= sc.maxY*1.001; v *= 10 {
			list = append(list, v)
		}
		return list
	}
	for i := range 5 {
		list = append(list, sc.maxY*float64(i)/4)
	}
	return list
}

// ticksX yields places and labels.
func (p plot) ticksX(sc scale) func(func(float64, string) bool) {
	return func(yield func(float64, string) bool) {
		if p.TicksX != nil {
			for _, v := range percentiles {
				if text, ok := p.TicksX[v]; ok && !yield(nines(v), text) {
					return
				}
			}
			return
		}
		step := roundUp((sc.maxX - sc.minX) / 8)
		for v := math.Ceil(sc.minX/step) * step; v <= sc.maxX; v += step {
			if !yield(v, tickText(v)+p.UnitX) {
				return
			}
		}
	}
}

// tickText is short: 0.001, 20, 1.5k.
func tickText(v float64) string {
	if math.Abs(v) >= 10_000 {
		return fmt.Sprintf("%gk", math.Round(v/100)/10)
	}
	return fmt.Sprintf("%g", math.Round(v*10_000)/10_000)
}

// draw adds a line, or a band from the ground up.
func (s series) draw(b *strings.Builder, sc scale, band bool) {
	if len(s.X) == 0 {
		return
	}
	var points strings.Builder
	for i := range s.X {
		fmt.Fprintf(&points, "%.1f,%.1f ", sc.x(s.X[i]), sc.y(s.Y[i]))
	}
	switch line := strings.TrimSpace(points.String()); {
	case s.Dashed:
		fmt.Fprintf(b, `<polyline class="line dashed %s" points="%s"/>`, s.Class, line)
	case band:
		ground := sc.y(sc.minY)
		fmt.Fprintf(b, `<polygon class="band %s" points="%.1f,%.1f %s %.1f,%.1f"/>`, s.Class, sc.x(s.X[0]), ground, line, sc.x(s.X[len(s.X)-1]), ground)
	default:
		fmt.Fprintf(b, `<polyline class="line %s" points="%s"/>`, s.Class, line)
	}
}

// marks draws what happened, as lines with a word.
func (p plot) marks(b *strings.Builder, sc scale) {
	for _, m := range p.Marks {
		if m.T < sc.minX || m.T > sc.maxX {
			continue
		}
		x := sc.x(m.T)
		fmt.Fprintf(b, `<line class="mark" x1="%.1f" x2="%.1f" y1="%g" y2="%g"/><text class="marktext" x="%.1f" y="%g">%s</text>`,
			x, x, marginTop, plotHeight-marginBottom, x+3, marginTop+10, template.HTMLEscapeString(m.Text))
	}
}

// nines stretches percentiles: each further nine takes the same room.
func nines(percentile float64) float64 { return -math.Log10(1 - percentile/100) }
