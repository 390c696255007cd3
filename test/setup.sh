#!/bin/sh
# Installs the real parts that the tests use: redis-server, LuaJIT and lua-cjson (comparisons), Suricata 7 from Debian's
# backports, iproute2, ethtool, tcpdump, tcpreplay, systemd-analyze (judges the unit), rsyslog with TLS, sqlite3, Java and
# Maven (a real Kafka, see kafka/setup.sh), and what PARTS names besides, as
# command:package. Does nothing, quietly, where all is there. Without root or network the tests that need a part skip by
# name (with CI=true they fail).
set -u
PARTS=${PARTS-}
want=""
for pair in redis-server:redis-server luajit:luajit lua5.1:lua5.1 ip:iproute2 tcpreplay:tcpreplay tcpdump:tcpdump ethtool:ethtool systemd-analyze:systemd java:default-jre-headless mvn:maven rsyslogd:rsyslog sqlite3:sqlite3 $PARTS; do
	command -v "${pair%%:*}" >/dev/null 2>&1 || want="$want ${pair#*:}"
done
ls /usr/lib/*/rsyslog/lmnsd_gtls.so >/dev/null 2>&1 || want="$want rsyslog-gnutls"
luajit -e 'require "cjson"' >/dev/null 2>&1 || want="$want lua-cjson"
command -v suricata >/dev/null 2>&1 && suricata=true || suricata=false
kafka() { sh "$(dirname "$0")/kafka/setup.sh"; }
if [ -z "$want" ] && $suricata; then
	kafka
	exit 0
fi
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
	echo "setup: not root, or no apt-get: tests that need$want$($suricata || echo ' suricata') will be skipped" >&2
	kafka
	exit 0
fi
export DEBIAN_FRONTEND=noninteractive
policy=/usr/sbin/policy-rc.d # keeps services from starting
if [ ! -e $policy ]; then
	printf '#!/bin/sh\nexit 101\n' >$policy && chmod +x $policy
	trap 'rm -f $policy' EXIT
fi
if ! $suricata && ! grep -rqs bookworm-backports /etc/apt/sources.list /etc/apt/sources.list.d; then
	sed '/^$/q' /etc/apt/sources.list.d/debian.sources 2>/dev/null | sed 's/^Suites:.*/Suites: bookworm-backports/' >/etc/apt/sources.list.d/backports.sources
fi
log=$(mktemp)
{
	apt-get update -qq &&
		{ [ -z "$want" ] || apt-get install -y -qq --no-install-recommends $want; } &&
		{ $suricata || apt-get install -y -qq --no-install-recommends -t bookworm-backports suricata; }
} >"$log" 2>&1 || { echo "setup: some parts could not be installed; tests that need them will be skipped:" >&2; tail -5 "$log" >&2; }
rm -f "$log"
kafka
exit 0
