"""The file and its journal: locks, the lease, durable adds, migrations. Nothing here knows a filter."""
