package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// startWebhook listens on loopback and appends what it is sent to the file; OCTOPATCH_NOTIFY names it.
func startWebhook(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: webhook FILE")
	}
	name := ts.MkAbs(args[0])
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		file, err := os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
		if err != nil {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		defer file.Close()
		_, _ = file.WriteString(r.URL.Path + " " + string(text) + "\n")
	}))
	ts.Defer(server.Close)
	ts.Setenv("OCTOPATCH_NOTIFY", "generic://"+strings.TrimPrefix(server.URL, "http://")+"/key-of-the-webhook?disabletls=yes")
}
