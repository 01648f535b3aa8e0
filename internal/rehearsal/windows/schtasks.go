package windows

import (
	"fmt"
	"slices"
	"strings"
)

// schtasks is what schtasks.exe does with the scheduler's tasks: /query, /change, /run, /end and /delete of the
// Windows Commands reference, on this machine and in English.
func (m *Machine) schtasks(args []string) (output string, exit int) {
	action, name, option := "", "", map[string]bool{}
	for i := 0; i < len(args); i++ {
		word := strings.ToLower(strings.Replace(args[i], "-", "/", 1))
		switch word {
		case "/query", "/change", "/run", "/end", "/delete":
			if action != "" {
				return badSchtasks(args[i])
			}
			action = word
		case "/tn":
			i++
			name = argument(args, i)
		case "/fo":
			i++
			option[strings.ToLower(argument(args, i))] = true
		case "/enable", "/disable", "/f", "/nh":
			option[word] = true
		default:
			return badSchtasks(args[i])
		}
	}
	if action == "/query" {
		return m.queryTasks(name, option)
	}
	t, ok := m.taskAt(name)
	if !ok {
		return "ERROR: The system cannot find the file specified.\r\n", 1
	}
	return m.changeTask(action, t, option)
}

func badSchtasks(arg string) (string, int) {
	return fmt.Sprintf("ERROR: Invalid argument/option - '%s'.\r\nType \"SCHTASKS /?\" for usage.\r\n", arg), 1
}

// listedTask is a task as the tables of schtasks.exe show it.
type listedTask struct{ folder, name, status string }

func (t listedTask) path() string { return strings.TrimRight(t.folder, `\`) + `\` + t.name }

// listTasks are all tasks, folder by folder.
func (m *Machine) listTasks() []listedTask {
	var list []listedTask
	all, _ := m.allTasks().([]any)
	for _, one := range all {
		t := one.(map[string]any)
		path := t["path"].(string)
		if path != `\` {
			path = strings.TrimRight(path, `\`)
		}
		list = append(list, listedTask{path, t["name"].(string), t["state"].(string)})
	}
	slices.SortStableFunc(list, func(a, b listedTask) int { return strings.Compare(a.folder, b.folder) })
	return list
}

// taskAt is the task of that path; the first backslash may be left out.
func (m *Machine) taskAt(path string) (listedTask, bool) {
	list := m.listTasks()
	at := slices.IndexFunc(list, func(t listedTask) bool { return strings.EqualFold(t.path(), `\`+strings.TrimLeft(path, `\`)) })
	if at < 0 {
		return listedTask{}, false
	}
	return list[at], true
}

func (m *Machine) queryTasks(name string, option map[string]bool) (string, int) {
	list := m.listTasks()
	if name != "" {
		one, ok := m.taskAt(name)
		if !ok {
			return "ERROR: The system cannot find the file specified.\r\n", 1
		}
		list = []listedTask{one}
	}
	var b strings.Builder
	folder := ""
	if option["csv"] && !option["/nh"] {
		b.WriteString("\"TaskName\",\"Next Run Time\",\"Status\"\r\n")
	}
	for _, t := range list {
		switch {
		case option["csv"]:
			fmt.Fprintf(&b, "\"%s\",\"N/A\",\"%s\"\r\n", t.path(), t.status)
		case option["list"]:
			fmt.Fprintf(&b, "\r\nFolder: %s\r\nHostName:      %s\r\nTaskName:      %s\r\nNext Run Time: N/A\r\nStatus:        %s\r\n", t.folder, m.computer, t.path(), t.status)
		default:
			if t.folder != folder {
				folder = t.folder
				fmt.Fprintf(&b, "\r\nFolder: %s\r\n", folder)
				if !option["/nh"] {
					fmt.Fprintf(&b, "%-40s %-22s %-15s\r\n%s %s %s\r\n", "TaskName", "Next Run Time", "Status", strings.Repeat("=", 40), strings.Repeat("=", 22), strings.Repeat("=", 15))
				}
			}
			fmt.Fprintf(&b, "%-40.40s %-22s %-15s\r\n", t.name, "N/A", t.status)
		}
	}
	return b.String(), 0
}

func (m *Machine) changeTask(action string, t listedTask, option map[string]bool) (string, int) {
	var err error
	said := ""
	switch {
	case action == "/run":
		err, said = m.runTask(t.folder, t.name), "SUCCESS: Attempted to run the scheduled task \"%s\".\r\n"
	case action == "/end":
		err, said = m.stopTask(t.folder, t.name), "SUCCESS: The scheduled task \"%s\" has been terminated successfully.\r\n"
	case action == "/delete" && option["/f"]:
		err, said = m.deleteTask(t.folder, t.name), "SUCCESS: The scheduled task \"%s\" was successfully deleted.\r\n"
	case action == "/change" && option["/enable"] != option["/disable"]:
		err, said = m.enableTask(t.folder, t.name, option["/enable"]), "SUCCESS: The parameters of scheduled task \"%s\" have been changed.\r\n"
	default: // without /f it asks, and nobody answers
		return "ERROR: Invalid syntax.\r\nType \"SCHTASKS /?\" for usage.\r\n", 1
	}
	if err != nil {
		return fmt.Sprintf("ERROR: %v\r\n", err), 1
	}
	return fmt.Sprintf(said, t.path()), 0
}
