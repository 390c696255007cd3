#!/bin/bash
# Makes the captures of this directory, on a loopback interface of its own: unshare -n bash make.sh
# Needs openssl 3.0 and tcpdump. The NAME.json beside them is what Suricata 7.0.10 reports of each, with ja3 and ja4.
set -e
ip link set lo up
ec="-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650"
openssl req -x509 $ec -keyout key.pem -out cert.pem -utf8 -config req.cnf -set_serial 0x80f1c2d3e4f50617 2>/dev/null
openssl req -x509 $ec -keyout ckey.pem -out ccert.pem -subj /CN=client.example 2>/dev/null
port=20000
one() { # name, options of the server, --, options of the client
  name=$1; shift; s=(); while [ "$1" != -- ]; do s+=("$1"); shift; done; shift
  port=$((port + 1))
  openssl s_server -accept 127.0.0.1:$port -key key.pem -cert cert.pem -quiet "${s[@]}" >/dev/null < <(sleep 5) & sp=$!
  sleep 1
  [ $name != resumed ] || (sleep 0.4) | openssl s_client -connect 127.0.0.1:$port "$@" -sess_out sess >/dev/null || true
  tcpdump -i lo -U -s 0 -w $name.pcap "tcp port $port" & tp=$!
  sleep 1
  [ $name != resumed ] || set -- "$@" -sess_in sess
  (sleep 0.4) | openssl s_client -connect 127.0.0.1:$port "$@" >/dev/null || true
  sleep 1; kill $sp $tp; wait
}
host="-servername www.example.org"
one tls12 -tls1_2 -alpn h2 -- -tls1_2 $host -alpn h2,http/1.1
one tls13 -tls1_3 -- -servername www.example.org -alpn http/1.1
one retry -tls1_3 -groups P-384 -- -groups X25519:P-384 $host
one tls10 -cipher DEFAULT@SECLEVEL=0 -tls1 -- -tls1 -cipher DEFAULT@SECLEVEL=0 -noservername
one fragments -tls1_2 -max_send_frag 512 -- -tls1_2 $host -max_send_frag 512
one clientcert -tls1_2 -Verify 1 -- -tls1_2 $host -key ckey.pem -cert ccert.pem
one resumed -tls1_2 -- -tls1_2 $host
rm -f *.pem sess
