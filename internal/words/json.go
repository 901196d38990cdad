package words

import "encoding/json"

// JoinJSON is the JSON of an object with the fields of head, then those of body.
func JoinJSON(head, body any) ([]byte, error) {
	line, err := json.Marshal(head)
	if err != nil {
		return nil, err
	}
	rest, err := json.Marshal(body)
	if len(rest) > 2 {
		line = append(append(line[:len(line)-1], ','), rest[1:]...)
	}
	return line, err
}
