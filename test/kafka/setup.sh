#!/bin/sh
# Fetches Apache Kafka and what it needs with Maven into the user's cache, once, and checks it against jars.sha256. Needs Java 17
# and Maven. Where that cannot be had the tests with a real Kafka skip by name (with CI=true they fail).
here=$(cd "$(dirname "$0")" && pwd)
to=${XDG_CACHE_HOME:-$HOME/.cache}/dragonfly/kafka-4.1.0
[ -e "$to" ] && exit 0
if ! command -v mvn >/dev/null 2>&1; then
	echo "setup: no mvn: tests that need a real Kafka will be skipped" >&2
	exit 0
fi
mkdir -p "$(dirname "$to")" && new=$(mktemp -d "$to.XXXXXX") || exit 0
if mvn -q -B -f "$here/pom.xml" dependency:copy-dependencies -DoutputDirectory="$new" >"$new/log" 2>&1 &&
	(cd "$new" && sha256sum -c --quiet --strict "$here/jars.sha256") >>"$new/log" 2>&1; then
	rm -f "$new/log"
	mv -T "$new" "$to" 2>/dev/null || rm -rf "$new" # another one was faster
else
	echo "setup: Kafka could not be fetched; tests that need it will be skipped:" >&2
	tail -5 "$new/log" >&2
	rm -rf "$new"
fi
exit 0
