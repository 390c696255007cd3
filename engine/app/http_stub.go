package app

func newHTTP(*Config) parser  { return nil }
func newHTTP2(*Config) parser { return nil }
