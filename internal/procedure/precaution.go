package procedure

import (
	"context"
	"time"
)

// PrecautionNone is the choice to take none; it has to be said.
const PrecautionNone = "none"

var precaution = Phase{
	Name:   Precaution,
	Single: "You should take whatever precautions you deem necessary in order to recover the system in case of failure.",
	HA:     "You should take whatever precautions you deem necessary in order to recover the system in case of failure.",
	Limit:  func(Rules) time.Duration { return time.Minute },
	Done: func(context.Context, *Step) (string, error) {
		return "none was asked for (OCTOPATCH_PRECAUTION=none): if patching breaks the system, only your own backup brings it back", nil
	},
	Do: func(context.Context, *Step) error { return nil },
}
