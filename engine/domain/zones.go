package domain

import "strings"

// open are zones in which anyone gets a name of his choice for nothing or next to it: dynamic DNS, free registrations,
// free hosting. Some are in the public suffix list, some are not. In all other private zones (cloudfront.net,
// amazonaws.com, azurewebsites.net) names are mostly made by the owner's machines, and look it.
var open = func() map[string]bool {
	m := map[string]bool{}
	for _, zone := range strings.Fields(`
		3322.org 8800.org 8866.org ath.cx changeip.org chickenkiller.com co.cc co.nr crabdance.com cu.cc cz.cc ddns.info
		ddns.name ddns.net ddnsfree.com ddnss.de dedyn.io dns04.com dns05.com dnsalias.com dnsalias.net dnsalias.org dnsdojo.com
		dnsdojo.net dnsdojo.org dnshome.de dnsup.net doesntexist.com doesntexist.org dtdns.net duckdns.org dynalias.com
		dynalias.net dynalias.org dynamic-dns.net dyndns.biz dyndns.info dyndns.org dyndns.tv dyndns.ws dynserv.com dynssl.com
		dynu.net f3322.net feste-ip.net firewall-gateway.com firewall-gateway.de firewall-gateway.net freeddns.org giize.com
		gleeze.com gnway.net goip.de gotdns.com gotdns.org gotgeeks.com hobby-site.com homedns.org homeip.net homelinux.com
		homelinux.net homelinux.org homeunix.com homeunix.net homeunix.org hopto.me hopto.org ignorelist.com jumpingcrab.com
		kozow.com loseyourip.com mooo.com myddns.me myfritz.net myftp.biz myftp.org mypets.ws myvnc.com no-ip.biz no-ip.info
		no-ip.org noip.me nsupdate.info ooguy.com podzone.net podzone.org redirectme.net selfhost.eu selfip.biz selfip.com
		selfip.info selfip.net selfip.org serveblog.net servebbs.com servebbs.net servebbs.org servebeer.com servecounterstrike.com
		serveftp.com serveftp.net serveftp.org servegame.com servegame.org servehalflife.com servehttp.com serveirc.com
		serveminecraft.net servemp3.com servepics.com servequake.com spdns.de spdns.eu spdns.org strangled.net sytes.net
		theworkpc.com twilightparadox.com twmail.net us.to webhop.biz webhop.info webhop.me webhop.net webhop.org yi.org zapto.org
		ae.org africa.com br.com cn.com co.com de.com eu.com eu.org gb.net gr.com hu.net in.net jp.net jpn.com mex.com ru.com
		sa.com se.net uk.com uk.net us.com us.org za.com
		altervista.org blogspot.com github.io gitlab.io wordpress.com weebly.com wixsite.com neocities.org`) {
		m[zone] = true
	}
	return m
}()

// Chosen returns the part of a name that its holder chose, which is what to judge a name by: most often the registered
// domain and its first label. In zones where anyone gets a name it is one level below the zone ("host.ddns.net"), in
// other private zones it is the zone's own ("cloudfront.net" of d1a2b3.cloudfront.net). Both are "" for what Registered
// knows no domain for, save names such as "github.io" that are themselves a private suffix.
func Chosen(name string) (domain, label string) {
	host, kind := normal(name)
	if kind != Host {
		return "", ""
	}
	at, section := suffixAt(host)
	if section == Private && (at == 0 || !open[host[at:]]) {
		at, section = registryAt(host, at)
	}
	if at == 0 {
		return "", ""
	}
	start := strings.LastIndexByte(host[:at-1], '.') + 1
	if section != Private && start > 0 && open[host[start:]] {
		at, start = start, strings.LastIndexByte(host[:start-1], '.')+1
	}
	return host[start:], host[start : at-1]
}

// registryAt returns where the registry's suffix begins in a host whose private suffix is at at.
func registryAt(host string, at int) (int, Section) {
	for {
		dot := strings.IndexByte(host[at:], '.')
		if dot < 0 {
			return at, Unlisted
		}
		at += dot + 1
		if start, section := suffixAt(host[at:]); section != Private {
			return at + start, section
		}
	}
}
