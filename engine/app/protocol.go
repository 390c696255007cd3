package app

// protocol is one that Suricata 7 tells apart.
type protocol uint8

const (
	unknown protocol = iota
	failed           // looked at, and recognised as nothing
	http
	http2
	tls
	ssh
	smtp
	ftp
	ftpData
	imap
	smb
	dcerpc
	dns
	nfs
	ntp
	tftp
	ike
	krb5
	quic
	dhcp
	snmp
	sip
	rfb
	mqtt
	telnet
	rdp
	bittorrent
	protocols // their number
)

// names are those of EVE's app_proto.
var names = [protocols]string{"", "failed", "http", "http2", "tls", "ssh", "smtp", "ftp", "ftp-data", "imap", "smb", "dcerpc", "dns", "nfs",
	"ntp", "tftp", "ike", "krb5", "quic", "dhcp", "snmp", "sip", "rfb", "mqtt", "telnet", "rdp", "bittorrent-dht"}

func (p protocol) String() string { return names[p] }

// known reports whether something was recognised.
func (p protocol) known() bool { return p > failed }

// clientFirst reports whether Suricata wants the first bytes of a stream to be the client's.
func (p protocol) clientFirst() bool { return p == tls }

// gapless reports whether Suricata's parser gives up where bytes are missing.
func (p protocol) gapless() bool {
	switch p {
	case http, dns, smb, nfs, telnet, dcerpc, ftpData:
		return false
	}
	return true
}
