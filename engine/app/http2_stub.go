package app

func newHTTP2(*Config) parser { return nil }
