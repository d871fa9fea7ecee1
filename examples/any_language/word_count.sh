#!/bin/sh
# Counts the words of a text. A worker without a line of Python:
#
#   agentnode exec --queues words -- examples/any_language/word_count.sh
#   coord task submit --queue words --payload '{"text": "so many words"}'
#
# The task comes as one JSON object on standard input, the result goes to standard output.
# Exit code 65: this task can never work. Any other but 0: try again.
set -eu

task=$(cat)
text=$(printf '%s' "$task" | sed -n 's/.*"payload": {"text": "\([^"]*\)"}.*/\1/p')
if [ -z "$text" ]; then
    echo 'the payload must be {"text": "some words"}' >&2
    exit 65
fi
echo '@agentnode {"progress": 0.5}' >&2
printf '{"words": %d}\n' "$(printf '%s' "$text" | wc -w)"
