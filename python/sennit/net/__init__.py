"""Endpoints: listeners, connections and what goes over them."""
