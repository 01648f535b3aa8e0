package procedure

import (
	"cmp"
	"maps"

	"github.com/octopatch/octopatch/internal/clock"
)

// Book is the runner's hand on one node's journal: it hands out Changes with a counter that only grows, and
// keeps the newest copy that the host answered with.
type Book struct {
	journal Journal
	clock   clock.Clock
	keep    func(Journal) error // stores the runner's own copy; may be nil
}

// OpenBook goes on with a journal, or begins one when its Format is 0.
func OpenBook(j Journal, clk clock.Clock, keep func(Journal) error) *Book {
	j.Format = 1
	j.Phases = maps.Clone(j.Phases)
	if j.Phases == nil {
		j.Phases = map[string]PhaseRecord{}
	}
	return &Book{journal: j, clock: clk, keep: keep}
}

// Journal is the journal as last known.
func (b *Book) Journal() Journal { return b.journal }

// Octopus is what Octopus looked like before, for the phases to read and fill; it travels with the next Change.
func (b *Book) Octopus() *OctopusPrior { return &b.journal.Octopus }

// Began records that a phase has begun to change something, and nothing of its end; it travels with the next Change.
func (b *Book) Began(phase string) {
	b.journal.Phases[phase] = PhaseRecord{Began: b.clock.Now().Unix(), Brought: b.journal.Phases[phase].Brought}
}

// Precaution is what this run takes of the machine; it travels with the next Change.
func (b *Book) Precaution(t *TakenPrecaution) { b.journal.Precaution = t }

// Ended records how a phase ended; it travels with the next Change.
func (b *Book) Ended(phase string, r PhaseRecord) {
	if r.Brought == nil {
		r.Brought = b.journal.Phases[phase].Brought
	}
	b.journal.Phases[phase] = r
}

// Brought is what patch has brought so far; it travels with the next Change.
func (b *Book) Brought(what Brought) {
	record := b.journal.Phases[Patch]
	record.Brought = &what
	b.journal.Phases[Patch] = record
}

// Next is the Change for the call that is about to be made. A job of the worker whose result is not known yet goes on
// being what whoever comes next has to follow.
func (b *Book) Next(phase, what string) Change {
	i := Intent{Phase: phase, What: what, At: b.clock.Now().Unix()}
	if last := b.journal.Intent; last != nil {
		i.Job, i.Boot = last.Job, last.Boot
	}
	return b.intend(i)
}

// NextJob is the Change for a job of the worker, which outlives this process; boot is the host's.
func (b *Book) NextJob(phase, what, job, boot string) Change {
	return b.intend(Intent{Phase: phase, What: what, At: b.clock.Now().Unix(), Job: job, Boot: boot})
}

// JobEnded: the job's result is known, or went with a revert, so that the next one is another.
func (b *Book) JobEnded() {
	if last := b.journal.Intent; last != nil {
		ended := *last
		ended.Job, ended.Boot = "", ""
		b.journal.Intent = &ended
	}
}

// OnceMore: a node that is stopped has to be patched, started and opened, whatever an earlier pass of the run had ended;
// what that one has brought stays. It travels with the next Change.
func (b *Book) OnceMore() {
	if record, known := b.journal.Phases[Patch]; known {
		b.journal.Phases[Patch] = PhaseRecord{Brought: cmp.Or(record.Brought, &Brought{Installed: []BroughtUpdate{}})}
	}
	b.takeBack(Start, Exit)
}

// Rewound: a revert has taken back on the host what was done since the precaution; it travels with the next Change.
func (b *Book) Rewound() {
	b.JobEnded()
	b.takeBack(afterPrecaution...)
}

// takeBack empties the records of phases: the host merges what it is told phase by phase, and would keep one that is left out.
func (b *Book) takeBack(phases ...string) {
	for _, phase := range phases {
		if _, known := b.journal.Phases[phase]; known {
			b.journal.Phases[phase] = PhaseRecord{}
		}
	}
}

func (b *Book) intend(i Intent) Change {
	b.journal.Counter++
	b.journal.Intent = &i
	octopus, precaution := b.journal.Octopus, b.journal.Precaution
	if precaution != nil {
		snapshot := *precaution
		precaution = &snapshot
	}
	return Change{
		Run: b.journal.Run, Counter: b.journal.Counter, Node: b.journal.Node, Owner: b.journal.Owner, Topology: b.journal.Topology,
		At: b.clock.Now().Unix(), Intent: b.journal.Intent, Phases: maps.Clone(b.journal.Phases), Octopus: &octopus, Precaution: precaution,
	}
}

// Save stores the runner's copy now: before a call that changes the machine, so that the copy is never behind it. One
// that is ahead, because the call was never made, is merged like any newer one.
func (b *Book) Save() error {
	if b.keep == nil {
		return nil
	}
	return b.keep(b.journal)
}

// Took keeps what the host answered: it knows its own prior state better than we do.
func (b *Book) Took(j Journal) error {
	b.journal.Host = j.Host
	b.journal.Counter = max(b.journal.Counter, j.Counter)
	if b.keep == nil {
		return nil
	}
	return b.keep(b.journal)
}
