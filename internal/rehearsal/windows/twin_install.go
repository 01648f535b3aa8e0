package windows

import (
	"slices"
	"time"
)

func (w *workRun) download(taken []*offer) []*offer {
	var ready []*offer
	for i, o := range taken {
		out := w.step(o, "download", i+1, len(taken))
		ok := flagOf(out, "succeeded")
		o.facts["downloaded"] = ok
		if ok {
			ready = append(ready, o)
		}
		if !ok || w.mode == "download" {
			w.add(out)
		}
	}
	return ready
}

func (w *workRun) outcomes() []any {
	list, _ := w.result["outcomes"].([]any)
	return list
}

func (w *workRun) add(outcome object) { w.result["outcomes"] = append(w.outcomes(), outcome) }

func (w *workRun) install(ready []*offer) error {
	if w.mode == "download" {
		return nil
	}
	for i, o := range ready {
		free, err := w.waitAgent()
		if err != nil {
			return err
		}
		if !free {
			w.wantsReboot(ready)
			return nil
		}
		out := w.step(o, "install", i+1, len(ready))
		if w.ctx.Err() != nil {
			return w.ctx.Err()
		}
		w.add(out)
		reboot := flagOf(out, "reboot")
		if reboot {
			w.result["reboot"] = true
		}
		if textOf(out, "code") == "0x8007045B" || reboot && o.Exclusive {
			return nil
		}
	}
	return nil
}

// wantsReboot: Windows wants a reboot before it installs anything more.
func (w *workRun) wantsReboot(ready []*offer) {
	w.result["reboot"] = true
	if slices.ContainsFunc(w.outcomes(), func(v any) bool { o, _ := v.(object); return flagOf(o, "succeeded") }) {
		return
	}
	for _, left := range ready {
		w.add(left.outcome("install", 5, "0x80240016", true))
	}
}

// waitAgent waits for somebody else's installation; free is false when a reboot has to come first.
func (w *workRun) waitAgent() (free bool, err error) {
	for try := 1; ; try++ {
		if err := allow(w.system); err != nil {
			return false, err
		}
		if w.m.isBlocked() {
			return false, nil
		}
		if !w.m.isBusy() || try >= 40 {
			return true, nil
		}
		w.stage("install", "waiting for another installation", "", 0, 0, 0)
		if err := w.sleep(15 * time.Second); err != nil {
			return false, err
		}
	}
}

// step hands one update to the agent, and again where the error passes by itself.
func (w *workRun) step(o *offer, step string, index, count int) object {
	for try := 1; ; try++ {
		w.stage(step, o.Title, o.kb(), index, count, (index-1)*100/count)
		out := w.once(o, step)
		if flagOf(out, "succeeded") || !again(textOf(out, "code"), try, 4) {
			w.stage(step, o.Title, o.kb(), index, count, index*100/count)
			return out
		}
		if w.sleep(time.Duration(30*try)*time.Second) != nil {
			return out
		}
	}
}

func (w *workRun) once(o *offer, step string) object {
	if !o.EULA {
		w.m.acceptEULA(o.ID)
		o.EULA = true
	}
	if err := allow(w.system); err != nil {
		return o.outcome(step, resultFailed, errorCode(err), false)
	}
	do := w.m.download
	if step == "install" {
		do = w.m.install
	}
	out, err := do(w.ctx, o.ID)
	if err != nil {
		return o.outcome(step, resultFailed, errorCode(err), false)
	}
	code := ""
	if out.HResult != 0 {
		code = hresult(uint32(out.HResult))
	}
	return o.outcome(step, out.ResultCode, code, step == "install" && out.RebootRequired)
}

func (o *offer) outcome(step string, resultCode int, code string, reboot bool) object {
	result, ok := map[int]string{2: "succeeded", 3: "succeeded-with-errors", 4: "failed", 5: "aborted"}[resultCode]
	if !ok {
		result = "failed"
	}
	return object{
		"id": o.ID, "title": o.Title, "kbs": o.kbs(), "step": step, "result": result, "code": code,
		"reboot": reboot, "words": "", "next": "", "succeeded": resultCode == 2 || resultCode == 3,
	}
}
