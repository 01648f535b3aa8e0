package report

import (
	_ "embed"
	"fmt"
	"html/template"
	"strings"
	"time"

	"github.com/octopatch/octopatch/internal/procedure"
)

//go:embed report.gohtml
var htmlText string

// htmlPage is report.html: one file without scripts that asks nothing of any server, so that it can be mailed,
// attached and opened anywhere.
var htmlPage = template.Must(template.New("report.html").Funcs(template.FuncMap{
	"span": procedure.Span, "plain": plain, "clock": clockTime, "build": build, "kbs": kbs, "outage": outage, "named": named, "or": or,
	"day":   func(t time.Time) string { return t.Format("Monday 2 January 2006, 15:04 MST") },
	"lines": func(text string) []string { return strings.Split(strings.TrimSpace(text), "\n") },
	"mark":  func(k procedure.Kind) string { return marksOf[k] },
}).Parse(htmlText))

// marksOf tell the results apart where colours cannot.
var marksOf = map[procedure.Kind]string{procedure.Done: "✓", procedure.Failed: "✗", procedure.Unknown: "?", procedure.Skipped: "–"}

// htmlView is what the page shows that the report does not say in so many words.
type htmlView struct {
	Report
	Verdict   string
	Seen, How string // the downtime, and how it was measured
	Tone      procedure.Kind
	Ticks     []tick
	Lanes     []lane
	Fates     []string // of the precautions
}

// HTML is report.html.
func (r Report) HTML() (string, error) {
	v := htmlView{Report: r.whole(), Verdict: r.verdict(), Tone: r.tone(), Ticks: r.ticks(), Lanes: r.lanes()}
	v.Seen, v.How = r.measured()
	for _, n := range r.Nodes {
		if n.Precaution != nil {
			v.Fates = append(v.Fates, fmt.Sprintf("%s: %s, %s", plain(n.Node), plain(n.Precaution.Name), n.Precaution.Fate()))
		}
	}
	var b strings.Builder
	if err := htmlPage.Execute(&b, v); err != nil {
		return "", fmt.Errorf("report.html: %w", err)
	}
	return b.String(), nil
}

// tone is how the verdict is coloured: like the result of a node.
func (r Report) tone() procedure.Kind {
	switch r.Exit {
	case 0:
		return procedure.Done
	case 4, 5, 130:
		return procedure.Skipped
	case 6:
		return procedure.Unknown
	}
	return procedure.Failed
}
