package windows

import (
	"fmt"
	"time"
)

func twinReady(t *twin) error {
	clock := t.m.clock
	deadline := clock.Now().Add(t.seconds("limit"))
	quiet := t.seconds("quiet")
	boot, said, last, since := "", "", clock.Now(), clock.Now()
	for {
		facts := t.m.windowsFacts()
		awaited := t.awaited(textOf(facts, "boot"))
		if awaited != "" || facts["boot"] != boot {
			since = clock.Now()
		}
		boot = textOf(facts, "boot")
		if awaited == "" {
			if clock.Since(since) >= quiet {
				return t.answer(object{"ready": true, "waiting": "", "windows": facts})
			}
			awaited = fmt.Sprintf("a quiet period of %d s", t.number("quiet"))
		}
		if awaited != said || clock.Since(last) >= 15*time.Second {
			t.line("progress", object{"waiting": awaited})
			said, last = awaited, clock.Now()
		}
		if !clock.Now().Before(deadline) {
			return t.answer(object{"ready": false, "waiting": awaited, "windows": facts})
		}
		if err := t.sleep(3 * time.Second); err != nil {
			return err
		}
	}
}

// awaited names what is still missing, or nothing.
func (t *twin) awaited(boot string) string {
	switch {
	case t.text("bootBefore") == boot:
		return "the restart to begin"
	case !t.m.hasKey(keyLogon):
		return "the logon screen"
	case t.m.servicing() > 1:
		return "component servicing (TiWorker) to finish"
	}
	return ""
}
