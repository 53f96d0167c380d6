"""Run the application: its routes, protocols, limits on connections and callers, and GraphiQL."""
