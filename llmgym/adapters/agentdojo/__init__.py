"""AgentDojo: wishes of users over simulated tools, some of whose answers carry the wishes of others."""
