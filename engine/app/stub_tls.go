package app

func newTLS(c *Config) parser  { return nil }
func newQUIC(c *Config) parser { return nil }
