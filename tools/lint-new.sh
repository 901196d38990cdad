#!/usr/bin/env bash
# What is new keeps to two limits: subjects of commits have at most 72 characters, and lines of Go and C++ at most 140 columns, a
# tab counting as one. New is what came after the commit below, or after the one that is given.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
base=${1:-4f8c89a50c882942d13d5182c855d9060458d1dc}
if ! git rev-parse --quiet --verify "$base^{commit}" >/dev/null; then
    echo "lint-new: this clone does not reach back to $base; fetch the whole history" >&2
    exit 1
fi
failed=0
while read -r hash subject; do
    if [ "${#subject}" -gt 72 ]; then
        echo "$hash: ${#subject} characters in the subject: $subject"
        failed=1
    fi
done < <(git log --no-merges --format='%h %s' "$base..HEAD")
git diff --find-renames --unified=0 "$base" -- '*.go' '*.cpp' '*.h' ':!third_party' |
    awk '/^\+\+\+ / { file = substr($0, 7) }
         /^@@ / { split($3, at, ","); line = at[1] + 0 }
         /^\+/ && !/^\+\+\+ / { if (length($0) > 141) { print file ":" line ": " length($0) - 1 " columns"; bad = 1 } line++ }
         END { exit bad }' || failed=1
exit $failed
