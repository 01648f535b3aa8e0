package machine

// computer is the name that Windows tells.
func (m *Machine) computer() string {
	if m.has("wrong-machine") {
		return "SOMEBODY-ELSE"
	}
	return m.o.Name
}

const domain = "rehearsal.example"
