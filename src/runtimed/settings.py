"""Settings: what can be set, from defaults, environment and command line, as one frozen value."""

VERSION = "0.1.0"
