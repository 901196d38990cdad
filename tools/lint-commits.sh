#!/usr/bin/env bash
# Refuses new commits whose subject has more than 72 characters: tools/lint-commits.sh BASE
# New is what HEAD has and neither origin/main nor BASE, of it at most 50 commits. A shallow clone may know neither: then all that it
# has is looked at, since a clone that is cut off after BASE has nothing older.
set -euo pipefail
export LC_ALL=C.UTF-8 # ${#subject} counts characters
most=72

git rev-parse --git-dir >/dev/null 2>&1 || exit 0 # a source archive has no commits
known=()
for rev in "$1" refs/remotes/origin/main; do
    if git rev-parse --quiet --verify "$rev^{commit}" >/dev/null; then known+=("^$rev"); fi
done
if [ ${#known[@]} = 0 ] && [ "$(git rev-parse --is-shallow-repository)" = false ]; then
    echo "lint-commits: there is no commit $1; set LINT_COMMITS_BASE in the Makefile to one" >&2
    exit 2
fi

bad=0
while IFS=$'\t' read -r hash subject; do
    if [ ${#subject} -gt $most ]; then
        echo "lint-commits: $hash: the subject has ${#subject} characters, $most are allowed: $subject" >&2
        bad=1
    fi
done < <(git log --no-merges --max-count=50 --format='%h%x09%s' HEAD "${known[@]}")
exit $bad
