"""tau2-bench: customers of a shop, an airline and a telephone company, served by tools within a policy."""
