package precaution

import (
	"bytes"
	"io"
	"net/http"
)

// body reads a request's body and puts it back.
func body(r *http.Request) string {
	text, _ := io.ReadAll(r.Body)
	r.Body = io.NopCloser(bytes.NewReader(text))
	return string(text)
}
