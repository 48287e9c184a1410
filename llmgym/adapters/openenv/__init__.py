"""OpenEnv servers by URL."""
