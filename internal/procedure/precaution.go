package procedure

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"time"
)

// PrecautionNone is the choice to take none; it has to be said.
const PrecautionNone = "none"

var precaution = Phase{
	Name:   Precaution,
	Single: "You should take whatever precautions you deem necessary in order to recover the system in case of failure.",
	HA:     "You should take whatever precautions you deem necessary in order to recover the system in case of failure.",
	Limit:  func(r Rules) time.Duration { return r.PrecautionTimeout + precautionMargin },
	Done: func(_ context.Context, s *Step) (string, error) {
		if s.Provider == nil {
			return "none was asked for (OCTOPATCH_PRECAUTION=none): if patching breaks the system, only your own backup brings it back", nil
		}
		return "", nil
	},
	Do: func(ctx context.Context, s *Step) error { return s.takePrecaution(ctx) },
	Verify: func(ctx context.Context, s *Step) error {
		found, err := s.Provider.Find(ctx, s.point())
		if err == nil && !found {
			err = &Fault{Subject: s.Node, Problem: "the precaution " + s.point().Name + " was taken and is not there", Remedy: "look at the provider's own log"}
		}
		return err
	},
}

// precautionMargin is for asking whether it is there, besides the time for taking it.
const precautionMargin = 20 * time.Minute

// notInNames is what not every provider takes in a name.
var notInNames = regexp.MustCompile(`[^A-Za-z0-9._-]+`)

// PointName is how a run's recovery point of a node is called, and found again by anybody.
func PointName(run, node string) string {
	return "octopatch-" + run + "-" + notInNames.ReplaceAllString(node, "_")
}

// point is this run's recovery point of this node.
func (s *Step) point() Point {
	t := s.Book.Journal().Precaution
	if t == nil {
		return s.newPoint()
	}
	p := Point{Machine: s.Machine, Run: s.Book.Journal().Run, Name: t.Name, Taken: time.Unix(t.Taken, 0)}
	if t.Expires != 0 {
		p.Expires = time.Unix(t.Expires, 0)
	}
	return p
}

func (s *Step) newPoint() Point {
	p := Point{Machine: s.Machine, Run: s.Book.Journal().Run, Taken: s.Clock.Now()}
	p.Name = PointName(p.Run, s.Node)
	if s.Rules.PrecautionKeep > 0 {
		p.Expires = p.Taken.Add(s.Rules.PrecautionKeep)
	}
	return p
}

// unusedPoint is a point that this run has not taken yet: one that is gone on with may have been over the node before and
// have kept that one, which is older than what was done since.
func (s *Step) unusedPoint(ctx context.Context) (Point, error) {
	p := s.newPoint()
	name := p.Name
	const most = 10 // passes of a run over one node
	for n := 2; s.GoneOn; n++ {
		var found bool
		err := s.insist(ctx, func() (err error) { found, err = s.Provider.Find(ctx, p); return err })
		if err != nil || !found {
			return p, err
		}
		s.progress("the precaution %s is there already, of an earlier pass of this run over the node; taking another", p.Name)
		if p.Name = fmt.Sprintf("%s-%d", name, n); n > most {
			return p, &Fault{Subject: s.Node, Problem: fmt.Sprintf("its provider says of each name up to %s-%d that it is there already", name, most), Remedy: "look at the provider; a verify command has to look for the name in OCTOPATCH_SNAPSHOT"}
		}
	}
	return p, nil
}

// takePrecaution journals its name first: whoever comes after us finds it by that.
func (s *Step) takePrecaution(ctx context.Context) error {
	before := s.Book.Journal().Precaution
	if before != nil && before.State == PrecautionTaken {
		s.Report.Precaution = before // patching may have begun since: one taken now could hold a half patched system
		return nil
	}
	p := s.point()
	if before == nil || before.State != PrecautionTaking {
		var err error
		if p, err = s.unusedPoint(ctx); err != nil {
			return err
		}
	}
	taken := &TakenPrecaution{Provider: s.Rules.Precaution, Name: p.Name, Taken: p.Taken.Unix(), State: PrecautionTaking}
	if !p.Expires.IsZero() {
		taken.Expires = p.Expires.Unix()
	}
	s.Book.Precaution(taken)
	if before == nil || before.State != PrecautionTaking { // what it holds is younger than any start before it
		s.Book.Octopus().StartBegan = false
	}
	s.Report.Precaution = taken
	if err := s.intend(ctx, fmt.Sprintf("take the precaution %s (%s)", p.Name, s.Rules.Precaution)); err != nil {
		return err
	}
	progress := func(text string) { s.progress("%s", text) }
	var lost error
	take := func(ctx context.Context) error {
		limited, cancel := s.Clock.WithTimeout(ctx, s.Rules.PrecautionTimeout)
		defer cancel()
		lost = s.Provider.Take(limited, p, progress)
		return lost
	}
	err := s.settle(ctx, "take the precaution "+p.Name, take,
		func(ctx context.Context) (bool, error) { return s.Provider.Find(ctx, p) })
	if err == nil && lost != nil {
		err = take(ctx) // it is there, and only Take knows whether it is all that was asked for
	}
	if err != nil {
		s.halfTaken(ctx, p)
		return err
	}
	taken.State = PrecautionTaken
	s.progress("the precaution %s is taken and was found again", p.Name)
	return nil
}

// halfTaken removes what a failed attempt may have left: the node is opened again, and nobody would look for it. After an
// interrupt the journal still says that it was begun, and whoever goes on asks what became of it.
func (s *Step) halfTaken(ctx context.Context, p Point) {
	taken := s.Book.Journal().Precaution
	if ctx.Err() != nil {
		s.progress("the precaution %s was begun, and whether it is there is not known yet: whoever goes on with this run looks for it, and removes it in the end", p.Name)
		return
	}
	found, err := s.Provider.Find(ctx, p)
	if err == nil && !found {
		taken.State = PrecautionRemoved
		return
	}
	if err == nil {
		err = s.Provider.Remove(ctx, p)
	}
	s.removed(taken, err)
}

// removed notes what came of removing it. What nobody can remove stays, and is no fault of anybody.
func (s *Step) removed(taken *TakenPrecaution, err error) {
	switch {
	case err == nil:
		taken.State = PrecautionRemoved
	case errors.Is(err, ErrByHand):
		taken.State = PrecautionKept
		s.progress("the precaution %s stays: %v", taken.Name, err)
	default:
		s.leftPrecaution(taken, err)
	}
}

func (s *Step) leftPrecaution(taken *TakenPrecaution, err error) {
	taken.State = PrecautionLeft
	s.warn("the precaution %s may be left (%v): look for it, and remove it by hand", taken.Name, err)
}

// EndPrecaution removes the recovery point once the node is healthy and soaked, or leaves it to expire as asked.
// That it cannot be removed is no reason to take a healthy node out of service again.
func (s *Step) EndPrecaution(ctx context.Context) {
	taken := s.Book.Journal().Precaution
	if taken == nil || taken.State == PrecautionRemoved {
		return
	}
	s.Report.Precaution = taken
	p := s.point()
	switch {
	case s.Provider == nil || taken.Provider != s.Rules.Precaution:
		s.leftPrecaution(taken, fmt.Errorf("it was taken with OCTOPATCH_PRECAUTION=%s, which is %s now", taken.Provider, s.Rules.Precaution))
		return
	case !p.Expires.IsZero():
		taken.State = PrecautionKept
		s.progress("the precaution %s is kept until %s, as asked; nobody removes it by itself", p.Name, p.Expires.UTC().Format("2006-01-02 15:04 MST"))
		return
	}
	err := s.settle(ctx, "remove the precaution "+p.Name,
		func(ctx context.Context) error { return s.Provider.Remove(ctx, p) },
		func(ctx context.Context) (bool, error) { found, err := s.Provider.Find(ctx, p); return !found, err })
	if s.removed(taken, err); err == nil {
		s.progress("the precaution %s is removed: the node is healthy", p.Name)
	}
}

// Fate says in words what has become of it.
func (t TakenPrecaution) Fate() string {
	switch t.State {
	case PrecautionTaken:
		return "taken and still there"
	case PrecautionTaking:
		return "begun, and it is not known whether it is there"
	case PrecautionKept:
		if t.Expires == 0 {
			return "stays: it cannot be removed from here"
		}
		return "kept until " + time.Unix(t.Expires, 0).UTC().Format("2006-01-02 15:04 MST")
	case PrecautionLeft:
		return "could not be removed: remove it by hand"
	}
	return t.State
}

// WarnOfLeftovers words what earlier runs left behind; a recovery point that nobody removes grows until the
// storage is full.
func WarnOfLeftovers(list []Leftover, now time.Time) []string {
	var words []string
	for _, l := range list {
		switch {
		case l.Expires.IsZero():
			words = append(words, fmt.Sprintf("the precaution %s of an earlier run is still there: remove it once nobody needs it, because it grows", l.Name))
		case l.Expires.Before(now):
			words = append(words, fmt.Sprintf("the precaution %s of an earlier run expired at %s and is still there: remove it", l.Name, l.Expires.UTC().Format("2006-01-02 15:04 MST")))
		}
	}
	return words
}
